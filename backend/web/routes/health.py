"""GET / and GET /health: the process lives. Asks nothing and nobody."""

from __future__ import annotations

from backend.web.protocol import HealthAnswer


async def health() -> HealthAnswer:
    """Answers at once, whatever else is down: Label Studio waits 1 s."""
    return HealthAnswer()
