"""Folds whose training was starved: a mean that counts them alike would be worse for it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from training.evaluation import mean_over_images
from training.folds.spec import FoldResult

FEW_STEPS = 0.5
"""A fold with a smaller share of the median steps of all folds had no time."""

MUCH_WORSE = 0.05
"""By so much its held-out Dice must be below the others' mean: held-out cases differ, too, and one
that learnt enough in the little time it had is as good as any."""

LEAST_FOLDS = 2
"""Folds that stay: one alone could say nothing of its uncertainty."""


def left_behind(results: Sequence[FoldResult]) -> tuple[FoldResult, ...]:
    """The folds of a run that are not to be averaged with the others.

    Those that a budget ended after few steps while others had many (a machine that was busy, a
    worker that died), and that are worse on their held-out cases. Of most folds as they are, none.

    Args:
        results: Of all folds of the run.

    Returns:
        The worst first; at least ``LEAST_FOLDS`` are not among them.
    """
    if len(results) <= LEAST_FOLDS:
        return ()
    enough = FEW_STEPS * median(result.steps for result in results)
    dice = {result.fold: _dice(result) for result in results}
    starved = [
        result
        for result in results
        if result.stopped == "budget"
        and result.steps < enough
        and dice[result.fold] < _mean_of_others(dice, result.fold) - MUCH_WORSE
    ]
    starved.sort(key=lambda result: dice[result.fold])
    return tuple(starved[: len(results) - LEAST_FOLDS])


def in_words(behind: Sequence[FoldResult], version: str, n_folds: int) -> str:
    """What a report says of the folds that a version is made without; "" without any.

    Args:
        behind: Those folds.
        version: Its name.
        n_folds: Folds of the run.
    """
    if not behind:
        return ""
    told = ", ".join(
        f"fold {result.fold} ({result.steps} steps, Dice {_dice(result):.2f})" for result in behind
    )
    return (
        f"{version} is made of {n_folds - len(behind)} of {n_folds} folds, for want of training "
        f"time for {told}"
    )


def _dice(result: FoldResult) -> float:
    """Mean over held-out images; 0 where nothing is held out or said."""
    return mean_over_images(result.dice_per_case) or 0.0


def _mean_of_others(dice: dict[int, float], fold: int) -> float:
    others = [value for number, value in dice.items() if number != fold]
    return sum(others) / len(others)
