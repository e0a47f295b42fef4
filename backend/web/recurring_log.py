"""Keeps a message that recurs every second from filling the log."""

from __future__ import annotations

import threading
import time

# The same message is logged at most once in this many seconds.
PERIOD_S = 60.0
# Distinct messages remembered; beyond that the memory starts anew.
_MAX_KNOWN = 1000


class RecurringLog:
    """Says which messages are due to be logged. Thread-safe."""

    def __init__(self, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._logged_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_due(self, message: str) -> bool:
        """Whether this message was not logged in the last period; then it counts as logged."""
        now = time.monotonic()
        with self._lock:
            if now - self._logged_at.get(message, -self._period_s) < self._period_s:
                return False
            if len(self._logged_at) >= _MAX_KNOWN:
                self._logged_at.clear()
            self._logged_at[message] = now
            return True
