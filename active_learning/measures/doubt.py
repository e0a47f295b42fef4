"""Doubt per pixel: entropy of the folds' mean, and the part of it that is their disagreement."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from domain.prediction import FoldProbabilities

BLOCK_VALUES = 2**19
"""Probabilities measured at once: what is made of them fits into the processor's cache."""

_TINY = np.float32(1e-30)
"""Stands in for 0 in logarithms: 0 ln 0 = 0."""

FOREGROUND_FROM = 0.05
"""Probability of foreground from which a pixel may belong to it: what is predicted, and its band.

Elsewhere everything is background and sure to be; a mean over the whole image mostly says how large
it is.
"""


class Doubt:
    """Mean entropy and mutual information over blocks of an image."""

    def __init__(self) -> None:
        """Nothing was added yet."""
        self._entropy: list[float] = []
        self._information: list[float] = []
        self._entropy_band: list[float] = []
        self._information_band: list[float] = []
        self._n_px = self._n_band = 0

    def add(
        self,
        block: FoldProbabilities,
        mean: npt.NDArray[np.float32],
        views: FoldProbabilities | None = None,
    ) -> None:
        """Adds rows of the image.

        Args:
            block: (fold, class, row, width) float32 softmax in [0, 1].
            mean: (class, row, width), the mean of its folds.
            views: (view, class, row, width), what stands in for folds; None: the folds themselves.
        """
        entropy = _entropy(mean)
        self._n_px += entropy.size
        # Each row by itself, and their exact sum: the same however the image is cut.
        self._entropy += entropy.sum(axis=1).tolist()
        if views is None:
            information = _information(block, entropy)
        else:
            information = _information(views, _entropy(views.mean(axis=0)))
        self._information += information.sum(axis=1).tolist()
        band = mean[0] <= 1.0 - FOREGROUND_FROM
        if n_band := int(np.count_nonzero(band)):
            self._n_band += n_band
            self._entropy_band += (entropy * band).sum(axis=1).tolist()
            self._information_band += (information * band).sum(axis=1).tolist()

    @property
    def entropy(self) -> float:
        """Mean entropy over the image in nats, in [0, ln K]."""
        return math.fsum(self._entropy) / max(self._n_px, 1)

    @property
    def information(self) -> float:
        """Mean mutual information over the image in nats, in [0, ln(min(F, K))]; of one map 0."""
        return math.fsum(self._information) / max(self._n_px, 1)

    @property
    def entropy_band(self) -> float:
        """``entropy`` where the foreground has at least ``FOREGROUND_FROM``; 0 without such."""
        return math.fsum(self._entropy_band) / max(self._n_band, 1)

    @property
    def information_band(self) -> float:
        """``information`` where the foreground has at least ``FOREGROUND_FROM``; 0 without."""
        return math.fsum(self._information_band) / max(self._n_band, 1)


def predictive_entropy(
    probabilities: FoldProbabilities, *, normalized: bool = False
) -> npt.NDArray[np.float32]:
    """Entropy of the folds' mean probability at each pixel: total uncertainty.

    Args:
        probabilities: (fold, class, height, width) float32 softmax in [0, 1].
        normalized: divide by ln(number of classes), so that the most is 1.

    Returns:
        (height, width) float32 in nats, in [0, ln K], or in [0, 1] if normalized.

    Raises:
        ValueError: Another number of axes, no fold, or fewer than two classes.
    """
    check(probabilities)
    entropy = np.empty(probabilities.shape[2:], np.float32)
    for rows in row_blocks(probabilities):
        entropy[rows] = _entropy(probabilities[:, :, rows].mean(axis=0))
    if normalized:
        entropy /= np.float32(math.log(probabilities.shape[1]))
    return entropy


def mutual_information(probabilities: FoldProbabilities) -> npt.NDArray[np.float32]:
    """Entropy of the mean less the mean entropy: the part that comes from the folds' disagreement.

    BALD (Houlsby et al. 2011, arXiv:1112.5745), with folds in the place of posterior samples.

    Args:
        probabilities: (fold, class, height, width) float32 softmax in [0, 1].

    Returns:
        (height, width) float32 in nats, in [0, ln(min(F, K))]; 0 where all folds are equal.

    Raises:
        ValueError: Another number of axes, no fold, or fewer than two classes.
    """
    check(probabilities)
    information = np.empty(probabilities.shape[2:], np.float32)
    for rows in row_blocks(probabilities):
        some = probabilities[:, :, rows]
        information[rows] = _information(some, _entropy(some.mean(axis=0)))
    return information


def check(probabilities: FoldProbabilities) -> None:
    """Raises ValueError for another number of axes, no fold, or fewer than two classes."""
    if probabilities.ndim != 4 or probabilities.shape[0] < 1 or probabilities.shape[1] < 2:
        raise ValueError(
            "Fold probabilities must be (fold, class, height, width) with at least one fold and "
            f"two classes, got the shape {probabilities.shape}."
        )


def row_blocks(probabilities: FoldProbabilities) -> Iterator[slice]:
    """Rows from the top, so many at a time that what is made of them stays small."""
    n_folds, n_classes, height, width = probabilities.shape
    step = max(1, BLOCK_VALUES // (n_folds * n_classes * max(width, 1)))
    return (slice(start, start + step) for start in range(0, height, step))


def _information(
    block: FoldProbabilities, entropy: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Of (fold, class, row, width) and the entropy of its mean; (row, width)."""
    if len(block) == 1:
        return np.zeros_like(entropy)
    expected = _entropy(block[0])
    for fold in block[1:]:
        expected += _entropy(fold)
    expected /= np.float32(len(block))
    # Rounding can leave a hair below 0 where folds are equal.
    return np.asarray(np.maximum(entropy - expected, np.float32(0.0)))


def _entropy(distribution: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(class, row, width) -> (row, width)."""
    logs = np.maximum(distribution, _TINY)
    np.log(logs, out=logs)
    logs *= distribution
    total = logs[0]
    for one in logs[1:]:
        total += one
    # Softmax can exceed 1 by a hair.
    return np.asarray(np.maximum(-total, np.float32(0.0)))
