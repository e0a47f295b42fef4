"""What answers without asking anybody: GET / and /health, GET /metrics, OPTIONS of every route."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Response

from backend.web.protocol import HealthAnswer


async def health() -> HealthAnswer:
    """Answers at once, whatever else is down: Label Studio waits 1 s."""
    return HealthAnswer()


async def metrics() -> dict[str, Any]:
    """No metrics, as label-studio-ml answers: who watches a backend of its kind asks for them."""
    return {}


def options_of(*methods: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    """The answer to OPTIONS: the methods of a route."""

    async def options() -> Response:
        return Response(headers={"Allow": ", ".join(("OPTIONS", *methods))})

    return options
