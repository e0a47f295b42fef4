"""A time limit over everything a request does: name look-up, redirects, retries, every byte.

httpx limits the time of each single read only: a server that sends one byte every two seconds is
never late.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import httpx

from backend.log_lines import carried

T = TypeVar("T")

_current = threading.local()


class OutOfTimeError(Exception):
    """The time was over before the work was done."""


class Deadline:
    """When something has to be done, and the connections it has opened until then."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_given_up = False

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 once it was given up."""
        return 0.0 if self._is_given_up else max(0.0, self._until - time.monotonic())

    def give_up(self) -> None:
        """Ends the connections: whoever waits at one of them gets an error at once."""
        with self._lock:
            self._is_given_up = True
            for one in self._sockets:
                _shut(one)

    def trace(self, _name: str, info: dict[str, Any]) -> None:
        """The ``trace`` extension of httpcore: takes note of every connection that was opened."""
        stream = info.get("return_value")
        if stream is None or not hasattr(stream, "get_extra_info"):
            return
        opened = stream.get_extra_info("socket")
        if not isinstance(opened, socket.socket):
            return
        with self._lock:
            self._sockets.append(opened)
            if self._is_given_up:
                _shut(opened)


def limit_request(request: httpx.Request) -> None:
    """An event hook for ``httpx.Client``: the request keeps to the deadline of its thread.

    The client must keep no idle connections, because only new ones are seen.

    Raises:
        httpx.ReadTimeout: The time is over.
    """
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is None:
        return
    left = deadline.left_s
    if left <= 0:
        raise httpx.ReadTimeout("the time for it is over", request=request)
    limits = request.extensions.get("timeout") or {}
    request.extensions = {
        **request.extensions,
        "trace": deadline.trace,
        "timeout": {name: min(left, value or left) for name, value in limits.items()},
    }


def within(seconds: float, work: Callable[[], T]) -> T:
    """Does something in a thread of its own, and waits for it no longer than some seconds.

    Past that its connections are shut, so that the thread ends soon; a name look-up, which nothing
    can interrupt, is left to end by itself.

    Raises:
        OutOfTimeError: The time is over.
    """
    deadline = Deadline(seconds)
    done: Future[T] = Future()

    def run() -> None:
        _current.deadline = deadline
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=carried(run), name="within a deadline", daemon=True).start()
    try:
        error = done.exception(seconds)
    except TimeoutError:
        if not done.done():
            deadline.give_up()
            raise OutOfTimeError(f"Not done within {seconds:g} s.") from None
        error = done.exception()
    if error is not None:
        raise error
    return done.result()


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        one.shutdown(socket.SHUT_RDWR)
