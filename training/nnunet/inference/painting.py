"""From unions of classes, which may overlap, back to classes, of which a pixel has one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domain.errors import PredictionError
from domain.prediction import FoldProbabilities


def of_unions(logits: npt.NDArray[np.float32], order: Sequence[int]) -> FoldProbabilities:
    """Probabilities of the classes, of a network with one sigmoid for each union.

    nnU-Net paints the unions that have more than 0.5 one over the other. So a pixel is of a class
    where its union is found and none painted later; taken as chances of their own, these multiply.
    The most probable class is then nearly always the painted one. Where it is another, the two
    change places: the prediction is nnU-Net's.

    Args:
        logits: (fold, union, row, width) float32, in painting order.
        order: The class integer that each union is painted as, each of 1, 2, ... once or more.

    Returns:
        (fold, class, row, width) float32 in [0, 1], their sum 1; class 0 is background.

    Raises:
        PredictionError: There is another number of maps than of unions.
    """
    if logits.shape[1] != len(order):
        raise PredictionError(f"it gives {logits.shape[1]} maps for {len(order)} unions.")
    chances = sigmoid(logits)
    found = np.zeros((len(logits), max(order) + 1, *logits.shape[2:]), np.float32)
    left = np.ones((len(logits), *logits.shape[2:]), np.float32)
    painted = np.zeros(left.shape, np.intp)
    for number in range(len(order) - 1, -1, -1):
        chance = chances[:, number]
        found[:, order[number]] += left * chance
        painted[(painted == 0) & (chance > 0.5)] = order[number]
        left = left * (1 - chance)
    found[:, 0] = left
    _exchange(found, painted)
    return found


def _exchange(found: FoldProbabilities, painted: npt.NDArray[np.intp]) -> None:
    """Gives the painted class the highest probability, in place."""
    highest = found.argmax(axis=1)
    differs = highest != painted
    if not differs.any():
        return
    fold, row, column = np.nonzero(differs)
    best, wanted = highest[differs], painted[differs]
    low, high = found[fold, wanted, row, column], found[fold, best, row, column]
    # Of equals the first is taken, so that the painted one must be higher.
    found[fold, wanted, row, column] = np.where(low == high, np.nextafter(high, 2), high)
    found[fold, best, row, column] = low


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of each number, in (0, 1); the exponential is of the absolute value: it never overflows."""
    small = np.exp(-np.abs(logits))
    chances: npt.NDArray[np.float32] = np.where(logits >= 0, 1, small) / (1 + small)
    return chances
