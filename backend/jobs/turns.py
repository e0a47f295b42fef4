"""Turns: long work that lets a worker's other jobs go first, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from backend.log_lines import carried

Pause = Callable[[], None]
"""For the work to call between its parts: returns when it may go on."""

WAKE_S = 0.3
"""Seconds between two looks of work that waits for its turn; the job that had it has ended then."""


class Turns:
    """Work in a thread of its own that moves only while somebody waits in ``take``.

    So it may use what is for one thread at a time (warm networks), as a job may.

    Args:
        work: What to do; it calls the ``Pause`` it is given.
        while_waiting: Called every ``WAKE_S`` while the work waits for its turn.
        must_go_on: Whether it is to go on at once, without a turn: the process ends.
    """

    def __init__(
        self,
        work: Callable[[Pause], None],
        *,
        while_waiting: Callable[[], None],
        must_go_on: Callable[[], bool],
    ) -> None:
        self._work, self._while_waiting, self._must_go_on = work, while_waiting, must_go_on
        self._may_go = threading.Semaphore(0)
        self._handed_back = threading.Semaphore(0)
        self._until = 0.0
        self._error: BaseException | None = None
        # No daemon: a worker that is told to end waits until the work has noticed.
        self._thread = threading.Thread(target=carried(self._run), name="turns")
        self.is_over = False

    def take(self, seconds: float) -> None:
        """Lets it work until it pauses after ``seconds``, or is over; raises what it raised."""
        self._until = time.monotonic() + seconds
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._may_go.release()
        self._handed_back.acquire()
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        """Waits until it is over."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work(self._pause)
        except BaseException as error:  # noqa: BLE001 - whoever takes the turn gets it
            self._error = error
        finally:
            self.is_over = True
            self._handed_back.release()

    def _pause(self) -> None:
        if time.monotonic() < self._until or self._must_go_on():
            return
        self._handed_back.release()
        while not self._may_go.acquire(timeout=WAKE_S):
            if self._must_go_on():
                return
            self._while_waiting()
