"""The web process's one background activity: looks every second for work that has become due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from backend.web.errors import sentence
from backend.web.recurring_log import RecurringLog
from domain.errors import NnloopError

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0
# A round that hangs on a locked store is left behind after this; the thread is a daemon.
_STOP_S = 5.0


class Ticker:
    """Calls a function once a second in a thread, and survives everything it raises."""

    def __init__(self, tick: Callable[[], None], interval_s: float = INTERVAL_S) -> None:
        self._tick = tick
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._log = RecurringLog()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts the thread; the first call comes at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the round that is under way."""
        self._stopped.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while True:
            try:
                self._tick()
            except (NnloopError, SQLAlchemyError) as error:
                message = sentence(error)
                if self._log.is_due(message):
                    logger.warning("%s", message)
            except Exception as error:  # the loop must outlive any fault of one round
                if self._log.is_due(f"{type(error).__name__}: {error}"):
                    logger.exception("A round of the loop failed; the next one tries again.")
            if self._stopped.wait(self._interval_s):
                return
