"""Whether the classes of predictions are others of the references: integers that were exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

BETTER_BY = 0.3
"""Mean Dice by which another assignment must fit better to be spoken of: a bad model that calls
some pixels of one class another gains less."""


def exchanged(counts: npt.NDArray[Any]) -> tuple[tuple[int, ...], float, float] | None:
    """The one-to-one assignment of classes that fits much better than that of equal integers.

    Args:
        counts: Pixels of all cases (class in the prediction, class in the reference), n + 1 by
            n + 1, 0 = background.

    Returns:
        For each class 1 to n of the predictions the references' class, the mean Dice over pixels
        of all cases with it, and without; None where no other one fits much better.
    """
    sizes_p, sizes_r = counts.sum(axis=1)[1:], counts.sum(axis=0)[1:]
    both = sizes_p[:, None] + sizes_r[None, :]
    dice = np.divide(2.0 * counts[1:, 1:], both, out=np.zeros(both.shape), where=both > 0)
    # Classes that are nowhere say nothing, whichever they are given.
    n = max(np.count_nonzero(sizes_p), np.count_nonzero(sizes_r))
    if n < 2:
        return None
    _, best = linear_sum_assignment(dice, maximize=True)
    with_best = float(dice[np.arange(len(best)), best].sum()) / n
    as_is = float(np.trace(dice)) / n
    if with_best - as_is <= BETTER_BY:
        return None
    return tuple(int(one) + 1 for one in best), with_best, as_is


def about_exchanged(
    counts: npt.NDArray[Any] | None, class_names: Mapping[int, str]
) -> tuple[str, ...]:
    """Says where the references' integers seem to be others; nothing is taken so by itself.

    Args:
        counts: As for ``exchanged``; None where no case was measured.
        class_names: Integer in the files -> class name, as they were measured.

    Returns:
        A sentence, or nothing.
    """
    found = exchanged(counts) if counts is not None else None
    if found is None:
        return ()
    places, with_it, as_is = found
    integers = sorted(class_names)
    names = [class_names[integer] for integer in integers]
    seem = {integers[place - 1]: name for place, name in zip(places, names, strict=True)}
    each = ", ".join(f"{integer} = {seem[integer]}" for integer in sorted(seem))
    values = ",".join(str(integers[place - 1]) for place in places)
    return (
        f"The integers of the references seem to be others: with {each} there, the mean Dice of "
        f"the pixels of all cases would be {with_it:.2f}, not {as_is:.2f}. If that is so, write "
        f"the predictions with the same integers (nnloop predict --values 0,{values}) and evaluate "
        "them again.",
    )
