"""Blocking calls to the store and the queue, in threads and with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from backend.web.door import ARRIVED_AT
from domain.errors import StackError

Result = TypeVar("Result")


class NoAnswerError(StackError):
    """The store or the queue did not answer in time."""


def arrived_at(request: Request) -> float:
    """``time.monotonic()`` at which the request arrived."""
    return float(getattr(request.state, ARRIVED_AT))


async def in_thread(until: float, function: Callable[..., Result], *args: object) -> Result:
    """Calls a function in a thread and waits for it no longer than until a time.

    The thread goes on after that: what it was about to write is still written.

    Args:
        until: ``time.monotonic()`` at which the wait ends.
        function: what is called.
        *args: its arguments.

    Raises:
        NoAnswerError: if the time is over.
    """
    with anyio.move_on_after(until - time.monotonic()):
        return await anyio.to_thread.run_sync(partial(function, *args), abandon_on_cancel=True)
    raise NoAnswerError(
        "The store or Redis did not answer in time.",
        remedy="They may be busy or down: `nnloop status` says which; then try again.",
    )
