"""Calls that failed in a way that may pass are made again, after pauses that grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_exponential_jitter,
)

T = TypeVar("T")

ATTEMPTS = 3
"""How often a call is made in all."""

FIRST_PAUSE_S = 0.5
"""Seconds before the second attempt; twice as many before the next one."""

LONGEST_PAUSE_S = 60.0
"""Most seconds to wait, also when a server asks for more."""


def repeated(
    call: Callable[[], T],
    *,
    after_error: Callable[[BaseException], bool],
    after_answer: Callable[[T], bool] = lambda _: False,
) -> T:
    """Makes a call, up to ``ATTEMPTS`` times; returns or raises what the last one did.

    Args:
        call: What to do. Doing it twice must do no harm where it is repeated.
        after_error: Whether to try again after what it raised.
        after_answer: Whether to try again after what it returned.
    """
    return Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=_pause_s,
        retry=retry_if_exception(after_error) | retry_if_result(after_answer),
        retry_error_callback=_last,
    )(call)


def _last(state: RetryCallState) -> object:
    return state.outcome.result() if state.outcome is not None else None


def _pause_s(state: RetryCallState) -> float:
    """What the server asked for (``Retry-After``, in seconds), else longer each time."""
    pause = wait_exponential_jitter(FIRST_PAUSE_S, LONGEST_PAUSE_S, jitter=FIRST_PAUSE_S / 5)(state)
    if state.outcome is None or state.outcome.failed:
        return pause
    answer = state.outcome.result()
    asked = answer.headers.get("retry-after", "") if isinstance(answer, httpx.Response) else ""
    return min(float(asked), LONGEST_PAUSE_S) if asked.isdecimal() else pause
