"""How sure the folds are about one image: measures on FoldProbabilities.

Every function takes (fold, class, height, width) float32 softmax in [0, 1], class 0 = background,
and raises ValueError for another number of axes or fewer than two classes.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from domain.overlap import Overlap
from domain.prediction import FoldProbabilities
from training.evaluation import image_dice


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
    _check(probabilities)
    n_folds, n_classes = probabilities.shape[:2]
    if n_folds == 1:
        return expected_soft_dice(probabilities)
    label_maps = probabilities.argmax(axis=1)
    pairs = list(combinations(range(n_folds), 2))
    dices: list[list[float | None]] = [[] for _ in pairs]
    for class_index in range(1, n_classes):
        masks = label_maps == class_index
        areas = np.count_nonzero(masks, axis=(1, 2)).tolist()
        for pair_dices, (a, b) in zip(dices, pairs, strict=True):
            shared = int(np.count_nonzero(masks[a] & masks[b])) if areas[a] and areas[b] else 0
            pair_dices.append(Overlap(shared, areas[a], areas[b]).dice)
    return float(np.mean([image_dice(pair_dices) for pair_dices in dices]))


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
    _check(probabilities)
    mean = _mean(probabilities)
    label_map = mean.argmax(axis=0)
    if not label_map.any():
        return min(max(float(mean[0].min()), 0.0), 1.0)
    dices, weights = [], []
    for class_index in range(1, len(mean)):
        mask = label_map == class_index
        area = np.count_nonzero(mask)
        if area == 0:
            dices.append(0.0)
            weights.append(float(mean[class_index].max()))
        else:
            expected_area = float(mean[class_index].sum())
            expected_common = float(mean[class_index][mask].sum())
            dices.append(2.0 * expected_common / (area + expected_area))
            weights.append(1.0)
    # float32 softmax can exceed 1 by a hair.
    return min(float(np.average(dices, weights=weights)), 1.0)


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
    _check(probabilities)
    entropy = _entropy(_mean(probabilities))
    if normalized:
        entropy = entropy / np.log(probabilities.shape[1])
    return np.asarray(entropy, dtype=np.float32)


def mutual_information(probabilities: FoldProbabilities) -> npt.NDArray[np.float32]:
    """Entropy of the mean less the mean entropy: the part that comes from the folds' disagreement.

    BALD (Houlsby et al. 2011, arXiv:1112.5745), with folds in the place of posterior samples.

    Returns:
        (height, width) float32 in nats, in [0, ln(min(F, K))]; 0 where all folds are equal.
    """
    _check(probabilities)
    expected = np.mean([_entropy(fold.astype(np.float64)) for fold in probabilities], axis=0)
    # Rounding can leave a hair below 0 where folds are equal.
    gain = np.maximum(_entropy(_mean(probabilities)) - expected, 0.0)
    return np.asarray(gain, dtype=np.float32)


def _check(probabilities: FoldProbabilities) -> None:
    if probabilities.ndim != 4 or probabilities.shape[0] < 1 or probabilities.shape[1] < 2:
        raise ValueError(
            "Fold probabilities must be (fold, class, height, width) with at least one fold and "
            f"two classes, got the shape {probabilities.shape}."
        )


def _mean(probabilities: FoldProbabilities) -> npt.NDArray[np.float64]:
    return np.asarray(probabilities.mean(axis=0, dtype=np.float64))


def _entropy(distribution: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(class, height, width) -> (height, width); 0 ln 0 = 0."""
    logs = np.log(distribution, out=np.zeros_like(distribution), where=distribution > 0)
    entropy: npt.NDArray[np.float64] = -(distribution * logs).sum(axis=0)
    return np.maximum(entropy, 0.0)
