"""The door: asks for credentials on every path but /health, and lets no fault out unanswered.

Who sends wrong credentials to /health is refused there too, and so is Label Studio without any. It
asks for /health first: if that let it in and /setup did not, it would blame the labelling
interface.

A middleware and not a dependency of routes: a route that somebody adds is behind it, too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import logging
import re
import time

from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.web.errors import UNEXPECTED
from backend.web.recurring_log import RecurringLog

logger = logging.getLogger(__name__)

# Of the user name; a project's id has at most 18 digits.
_PROJECT = re.compile(rb"(.*)\+(\d{1,18})", re.DOTALL)

OPEN_PATHS = frozenset({"/health", "/ready"})
LABEL_STUDIO_AGENT = b"heartex/"
"""What Label Studio's name begins with when it asks an ML backend."""

PROJECT = "project"
"""Key in ``request.state``: the project whose backend asks, where its login says so; else None."""

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
        headers = {name.lower(): value for name, value in reversed(scope["headers"])}
        scope.setdefault("state", {})[ARRIVED_AT] = time.monotonic()
        is_admitted, scope["state"][PROJECT] = self._admission(headers.get(b"authorization", b""))
        if not is_admitted and not _is_open(scope["path"], headers):
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

    def _admission(self, given: bytes) -> tuple[bool, int | None]:
        """Whether credentials are right, and the project that they name (``login_of_project``)."""
        scheme, _, encoded = given.partition(b" ")
        if scheme.lower() != b"basic":
            return False, None
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            return False, None
        if self._is_right(decoded):
            return True, None
        user, _, password = decoded.partition(b":")
        of_project = _PROJECT.fullmatch(user)
        if of_project is None or not self._is_right(of_project.group(1) + b":" + password):
            return False, None
        return True, int(of_project.group(2))

    def _is_right(self, given: bytes) -> bool:
        matches = [hmac.compare_digest(given, accepted) for accepted in self._accepted]
        return any(matches)


def _is_open(path: str, headers: dict[bytes, bytes]) -> bool:
    is_label_studio = headers.get(b"user-agent", b"").startswith(LABEL_STUDIO_AGENT)
    return path in OPEN_PATHS and b"authorization" not in headers and not is_label_studio


def _encodings(credentials: tuple[str, str]) -> tuple[bytes, ...]:
    # Label Studio's HTTP library sends Latin-1, curl and browsers UTF-8.
    text = ":".join(credentials)
    found = {text.encode()}
    with contextlib.suppress(UnicodeEncodeError):
        found.add(text.encode("latin-1"))
    return tuple(found)
