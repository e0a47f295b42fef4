"""How sure the folds are about one image: measures on FoldProbabilities.

Every function takes (fold, class, height, width) float32 softmax in [0, 1], class 0 = background,
and raises ValueError for another number of axes or fewer than two classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from active_learning.agreement import FoldAgreement, SoftDice, check
from domain.prediction import FoldProbabilities

_BLOCK_PX = 2**18
"""Pixels whose measures are computed at once."""


def pairwise_fold_dice(probabilities: FoldProbabilities) -> float:
    """Mean Dice between the label maps of every two folds: one of them in the place of the truth.

    Of every two folds it is the image's own figure (``training.evaluation.image_dice``), over the
    classes that either of them shows: a class that neither does says nothing, one that only one of
    them does counts as 0. A class that no fold sees thus changes nothing. Two folds that see
    nothing at all agree, 1: an image with nothing in it, predicted empty, is a good prediction. The
    folds have seen different cases, so where they agree an image is probably
    predicted well (query by committee: Seung, Opper, Sompolinsky 1992; as a quality estimate of
    segmentations: Roy et al. 2019, arXiv:1811.09800).

    One fold has nobody to agree with. Then the expected soft Dice of its own map stands in
    (``expected_soft_dice``): it also lies in [0, 1], and followed true Dice about as well.

    Returns:
        In [0, 1]; 1 = all folds agree.
    """
    agreement = FoldAgreement()
    agreement.add(probabilities)
    return agreement.dice


def expected_soft_dice(probabilities: FoldProbabilities) -> float:
    """Dice the mean map's label map would have if its probabilities were true.

    For each foreground class with mask A and mean probability p: 2 sum_A(p) / (|A| + sum(p)). A
    class that is nowhere the most probable has Dice 0 if it is there after all, and says nothing if
    not. Its pixels hang together, so the chance that it is there is taken as max(p), and with that
    weight its 0 enters the mean over the classes. An image predicted empty is right (1) if nothing
    is there, by the same reasoning with the chance max(1 - p of background), and wrong (0) if not.

    Returns:
        In [0, 1].
    """
    soft = SoftDice()
    soft.add(probabilities)
    return soft.dice


def predictive_entropy(
    probabilities: FoldProbabilities, *, normalized: bool = False
) -> npt.NDArray[np.float32]:
    """Entropy of the folds' mean probability at each pixel: total uncertainty.

    Args:
        probabilities: (fold, class, height, width).
        normalized: divide by ln(number of classes), so that the most is 1.

    Returns:
        (height, width) float32 in nats, in [0, ln K], or in [0, 1] if normalized.
    """
    check(probabilities)
    entropy = np.empty(probabilities.shape[2:], np.float32)
    for rows in _some_rows(probabilities):
        found = _entropy(_mean(probabilities[:, :, rows]))
        entropy[rows] = found / np.log(probabilities.shape[1]) if normalized else found
    return entropy


def mutual_information(probabilities: FoldProbabilities) -> npt.NDArray[np.float32]:
    """Entropy of the mean less the mean entropy: the part that comes from the folds' disagreement.

    BALD (Houlsby et al. 2011, arXiv:1112.5745), with folds in the place of posterior samples.

    Returns:
        (height, width) float32 in nats, in [0, ln(min(F, K))]; 0 where all folds are equal.
    """
    check(probabilities)
    information = np.empty(probabilities.shape[2:], np.float32)
    for rows in _some_rows(probabilities):
        some = probabilities[:, :, rows]
        expected = np.mean([_entropy(fold.astype(np.float64)) for fold in some], axis=0)
        # Rounding can leave a hair below 0 where folds are equal.
        information[rows] = np.maximum(_entropy(_mean(some)) - expected, 0.0)
    return information


def _some_rows(probabilities: FoldProbabilities) -> Iterator[slice]:
    """Rows from the top, so many at a time that their float64 copies stay small."""
    height, width = probabilities.shape[2:]
    step = max(1, _BLOCK_PX // width)
    return (slice(start, start + step) for start in range(0, height, step))


def _mean(probabilities: FoldProbabilities) -> npt.NDArray[np.float64]:
    return np.asarray(probabilities.mean(axis=0, dtype=np.float64))


def _entropy(distribution: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(class, height, width) -> (height, width); 0 ln 0 = 0."""
    logs = np.log(distribution, out=np.zeros_like(distribution), where=distribution > 0)
    entropy: npt.NDArray[np.float64] = -(distribution * logs).sum(axis=0)
    return np.maximum(entropy, 0.0)
