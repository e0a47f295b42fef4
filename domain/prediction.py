"""What a model says about an image."""

from __future__ import annotations

from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FoldProbabilities: TypeAlias = npt.NDArray[np.float32]
"""(fold, class, height, width) float32 softmax in [0, 1]; class 0 is background."""

_BLOCK_PX = 2**17
"""Pixels looked at together: they fit into the processor's cache."""


def most_probable(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The most probable class of each pixel, of equals the first, as ``argmax``.

    ``argmax`` takes 8 bytes a pixel, and several times as long. What is no number is never the most
    probable; background is where nothing else is.

    Args:
        probabilities: (..., class, height, width) with at most 256 classes.

    Returns:
        (..., height, width) uint8.
    """
    *others, n_classes, height, width = probabilities.shape
    found = np.zeros((*others, height, width), np.uint8)
    step = max(1, _BLOCK_PX // max(1, width * prod(others)))
    for start in range(0, height, step):
        rows = probabilities[..., start : start + step, :]
        best, labels = rows[..., 0, :, :].copy(), found[..., start : start + step, :]
        for index in range(1, n_classes):
            is_better = rows[..., index, :, :] > best
            np.copyto(best, rows[..., index, :, :], where=is_better)
            np.copyto(labels, np.uint8(index), where=is_better)
    return found
