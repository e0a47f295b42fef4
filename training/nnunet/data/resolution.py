"""How far images can be made smaller before their label maps lose their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import cv2
import numpy as np
import numpy.typing as npt

MIN_KEPT = 0.97
"""Mean Dice a label map must keep when it is made smaller and larger again. No training recovers
what is lost here; with sides half as long, the same time holds four times as many training steps.
"""

MIN_CLASS_KEPT = 0.93
"""The same for each class by itself: a thin class may not be lost among thick ones."""

SIDE_STEP = 32
"""Sides tried, in pixels. Patches are multiples of it in a network of 6 stages."""


def coarsest_side(
    label_maps: Sequence[npt.NDArray[np.uint8]], side: int, low: int, most: int | None = None
) -> int:
    """The smallest working size at which the classes keep their shapes.

    Args:
        label_maps: (height, width) uint8 each, at full size; those without foreground don't count.
        side: Longest side of the median image at full size, in pixels.
        low: The least answer, in pixels.
        most: The largest answer that is of use; None: ``side``.

    Returns:
        A number of pixels for the longest side of the median image, in [min(low, side), side]:
        ``low`` plus a multiple of ``SIDE_STEP``, or where none will do, and with no foreground at
        all, the smaller one of ``side`` and ``most``.
    """
    labelled = [label_map for label_map in label_maps if label_map.any()]
    most = side if most is None else min(most, side)
    if not labelled:
        return most
    n_values = sum(np.count_nonzero(np.bincount(one.ravel())[1:]) for one in labelled)
    for candidate in range(low, most, SIDE_STEP):
        if _keeps_shapes(labelled, candidate / side, (1.0 - MIN_KEPT) * n_values):
            return candidate
    return most


def _keeps_shapes(
    label_maps: Sequence[npt.NDArray[np.uint8]], scale: float, may_lose: float
) -> bool:
    """Whether classes keep their shapes; ``may_lose`` is what all Dice together may lack of 1.

    A size that is far too small is given up after a few maps: large ones take a second each.
    """
    kept: list[dict[int, float]] = []
    lost = 0.0
    for label_map in label_maps:
        kept.append(kept_dice(label_map, scale))
        lost += sum(1.0 - dice for dice in kept[-1].values())
        if lost > may_lose:
            return False
    return min(mean_kept(kept).values()) >= MIN_CLASS_KEPT


def mean_kept(kept: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Class integer -> mean over the label maps that have it, of what ``kept_dice`` gave."""
    classes = sorted({k for of_map in kept for k in of_map})
    return {k: fmean(of_map[k] for of_map in kept if k in of_map) for k in classes}


def kept_dice(label_map: npt.NDArray[np.uint8], scale: float) -> dict[int, float]:
    """Dice of each class present with itself, after resampling to a smaller size and back.

    The best a network working at that size can do: it says at most which class has more than half
    of a coarse pixel, and its probabilities are resampled linearly.

    Args:
        label_map: (height, width) uint8.
        scale: Factor on both sides, in (0, 1].

    Returns:
        Class integer -> Dice in [0, 1].
    """
    height, width = label_map.shape
    coarse = max(1, round(width * scale)), max(1, round(height * scale))
    scores = {}
    for k in np.unique(label_map[label_map > 0]):
        mask = label_map == k
        share = cv2.resize(mask.astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
        is_class = (share >= 0.5).astype(np.float32)
        back = cv2.resize(is_class, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
        scores[int(k)] = 2.0 * float((mask & back).sum()) / float(mask.sum() + back.sum())
    return scores
