"""The door: asks for credentials on every path but /health, and lets no fault out unanswered.

A middleware and not a dependency of routes: a route that somebody adds is behind it, too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import logging
import time

from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.web.errors import UNEXPECTED
from backend.web.recurring_log import RecurringLog

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/health"})
ARRIVED_AT = "arrived_at"
"""Key in ``request.state``: ``time.monotonic()`` at which the request's head arrived."""


class Door:
    """ASGI middleware around the whole service."""

    def __init__(self, app: ASGIApp, credentials: tuple[str, str]) -> None:
        self._app = app
        self._accepted = _encodings(credentials)
        self._log = RecurringLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # A websocket: nnloop has none.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})[ARRIVED_AT] = time.monotonic()
        if scope["path"] not in OPEN_PATHS and not self._is_admitted(scope):
            await self._refuse(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            logger.info("%s %r: the caller hung up.", scope["method"], scope["path"])
        except Exception:  # the last resort: the caller gets a sentence, the log the traceback
            logger.exception("%s %r failed.", scope["method"], scope["path"])
            if has_begun:
                raise
            await JSONResponse({"detail": UNEXPECTED}, 500)(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"Refused {scope['method']} {scope['path']!r}: no or wrong credentials."
        if self._log.is_due(message):
            logger.warning("%s If it was Label Studio, run `nnloop connect` again.", message)
        answer = JSONResponse(
            {
                "detail": "User or password missing or wrong. Use BASIC_AUTH_USER and "
                "BASIC_AUTH_PASS as nnloop has them; `nnloop connect` gives them to Label Studio."
            },
            401,
            {"WWW-Authenticate": 'Basic realm="nnloop", charset="UTF-8"'},
        )
        await answer(scope, receive, send)

    def _is_admitted(self, scope: Scope) -> bool:
        given = next((v for k, v in scope["headers"] if k.lower() == b"authorization"), b"")
        scheme, _, encoded = given.partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            return False
        matches = [hmac.compare_digest(decoded, accepted) for accepted in self._accepted]
        return any(matches)


def _encodings(credentials: tuple[str, str]) -> tuple[bytes, ...]:
    # Label Studio's HTTP library sends Latin-1, curl and browsers UTF-8.
    text = ":".join(credentials)
    found = {text.encode()}
    with contextlib.suppress(UnicodeEncodeError):
        found.add(text.encode("latin-1"))
    return tuple(found)
