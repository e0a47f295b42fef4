"""Timing of a trainer's steps, before it plans its epochs."""

from __future__ import annotations

import time
from collections.abc import Callable

_TIMED = 3
"""Steps timed."""

_UNTIMED_S = 2.0
"""Longest time of the steps before those; every epoch is timed again."""


def steady_step_s(
    step: Callable[[], object], loader: object, clock: Callable[[], float] = time.monotonic
) -> float:
    """Seconds of one step when nothing was made ready for it.

    Not timed are the first step (allocations) and those whose batches were made while nobody asked
    for them: these cost a step nothing.

    Args:
        step: Takes one.
        loader: Where batches come from; nnU-Net's that has processes keeps ``num_cached`` ready.
        clock: Seconds.
    """
    began = clock()
    for _ in range(1 + int(getattr(loader, "num_cached", 0))):
        step()
        if clock() - began > _UNTIMED_S:
            break
    started = clock()
    for _ in range(_TIMED):
        step()
    return (clock() - started) / _TIMED
