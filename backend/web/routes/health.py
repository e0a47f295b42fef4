"""What asks nobody else: GET / and /health, /ready, /metrics, and OPTIONS of every route."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from backend.pipeline.basis.context import AppContext
from backend.pipeline.readiness import why_not_ready
from backend.web.metrics import MEDIA_TYPE, Metrics
from backend.web.protocol import HealthAnswer
from backend.web.waiting import NoAnswerError, in_thread

READY_S = 5.0
METRICS_S = 8.0


async def health() -> HealthAnswer:
    """Answers at once, whatever else is down: Label Studio waits 1 s."""
    return HealthAnswer()


async def ready(request: Request) -> JSONResponse:
    """200 when nnloop can work; 503 with the reasons when it can't, or does not know in time."""
    context: AppContext = request.app.state.context
    try:
        reasons = await in_thread(time.monotonic() + READY_S, why_not_ready, context)
    except NoAnswerError as error:
        reasons = [str(error)]  # in the form in which programs look for reasons
    answer: dict[str, Any] = {"status": "NOT READY" if reasons else "READY", "reasons": reasons}
    return JSONResponse(answer, 503 if reasons else 200)


async def metrics(request: Request) -> Response:
    """Prometheus' text; label-studio-ml, too, answers 200 here."""
    found: Metrics = request.app.state.metrics
    text = await in_thread(time.monotonic() + METRICS_S, found.text)
    return Response(text, media_type=MEDIA_TYPE)


def options_of(*methods: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    """The answer to OPTIONS: the methods of a route."""

    async def options() -> Response:
        return Response(headers={"Allow": ", ".join(("OPTIONS", *methods))})

    return options
