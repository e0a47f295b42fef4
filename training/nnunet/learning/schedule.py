"""A learning-rate schedule laid out anew for another number of epochs."""

from __future__ import annotations

from typing import Any


def stretch(scheduler: Any, old: int, new: int) -> None:
    """Makes a schedule laid out for ``old`` epochs end after ``new``.

    Knows nnU-Net's ``PolyLRScheduler`` and ``PolyLRScheduler_offset`` and torch's cosine
    annealing. Leaves alone any schedule that does not end with training (a warm-up, say).

    Args:
        scheduler: The optimiser's; it computes the rate from the epoch at each step.
        old: Epochs it was made for.
        new: Epochs now, at least 1.
    """
    offset = getattr(scheduler, "start_step", 0)
    if getattr(scheduler, "max_steps", None) == old - offset and new > offset:
        scheduler.max_steps = new - offset
    if getattr(scheduler, "T_max", None) == old:
        scheduler.T_max = new
