"""Connections on which a request does not come to its end are closed.

uvicorn waits for the rest of a request for as long as the connection lives: 1,500 that had sent
half a head stayed open for ever.
"""

from __future__ import annotations

import asyncio
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from backend.web.recurring_log import RecurringLog

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""Seconds in which a request has to be there, from the connection's opening or its first byte."""

LEAST_BYTES_PER_S = 20_000
"""A large one may take a second longer for so many bytes that have come."""

_log = RecurringLog()


class PunctualProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with an end to its patience."""

    _due: asyncio.TimerHandle | None = None
    _began = 0.0
    _n_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection was opened."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self._n_bytes += len(data)
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._expect()
        else:
            self._be_content()

    def on_response_complete(self) -> None:
        """It was answered; until the next request begins uvicorn has its own limit."""
        super().on_response_complete()
        if self.conn.their_state is not h11.SEND_BODY:
            self._be_content()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._be_content()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._due is None and not self.transport.is_closing():
            self._began = self.loop.time()
            self._due = self.loop.call_later(PATIENCE_S, self._look)

    def _be_content(self) -> None:
        self._n_bytes = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _look(self) -> None:
        self._due = None
        if self.transport.is_closing():
            return
        allowed = PATIENCE_S + self._n_bytes / LEAST_BYTES_PER_S
        left = self._began + allowed - self.loop.time()
        if self.flow.read_paused:  # we are the slow ones
            self._began += 1.0
            left = max(left, 0.0) + 1.0
        if left > 0:
            self._due = self.loop.call_later(left, self._look)
            return
        message = f"A request that was not whole after {PATIENCE_S:g} s was given up."
        if _log.is_due(message):
            logger.info("%s", message)
        self.transport.abort()
