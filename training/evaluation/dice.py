"""Overlap of two label maps per class: Dice, IoU, and means over cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two pixel sets share; areas in pixels."""

    shared_px: int
    predicted_px: int
    reference_px: int

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|) in [0, 1] (Dice, 1945); 1 when both are empty.

        Counting an empty pair as 1 rewards a prediction that rightly says nothing. nnU-Net's own
        evaluation leaves such a pair out (NaN): ``ClassSummary.dice_where_present`` does too.
        """
        total = self.predicted_px + self.reference_px
        return 2.0 * self.shared_px / total if total else 1.0

    @property
    def iou(self) -> float:
        """|P and R| / |P or R| in [0, 1] (Jaccard, 1912), = Dice / (2 - Dice); 1 when empty."""
        union = self.predicted_px + self.reference_px - self.shared_px
        return self.shared_px / union if union else 1.0


def overlap(predicted: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> Overlap:
    """Counts the pixels of two masks (height, width) bool of one shape."""
    return Overlap(
        int(np.count_nonzero(predicted & reference)),
        int(np.count_nonzero(predicted)),
        int(np.count_nonzero(reference)),
    )


def dice_per_class(predicted: LabelMap, truth: LabelMap, n_classes: int) -> npt.NDArray[np.float64]:
    """Dice = 2 |P and T| / (|P| + |T|) of each class.

    Args:
        predicted: (height, width) integers, 0 = background, k = class k.
        truth: The same shape and meaning.
        n_classes: Classes without background, at least 1.

    Returns:
        (n_classes,) float64 in [0, 1]; entry k - 1 is class k. A class absent from both maps
        scores 1: saying nothing was right.

    Raises:
        ValueError: The shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"label maps differ in shape: {predicted.shape} and {truth.shape}")
    scores = [overlap(predicted == k, truth == k).dice for k in range(1, n_classes + 1)]
    return np.array(scores, dtype=np.float64)


def mean_dice(predicted: LabelMap, truth: LabelMap, n_classes: int) -> float:
    """Mean of ``dice_per_class`` over the classes, in [0, 1]."""
    return float(dice_per_class(predicted, truth, n_classes).mean())


def named_dice(
    predicted: LabelMap, truth: LabelMap, class_values: Iterable[str]
) -> dict[str, float]:
    """``dice_per_class`` by class name; ``class_values`` in integer order without background."""
    names = tuple(class_values)
    scores = dice_per_class(predicted, truth, len(names))
    return {name: float(score) for name, score in zip(names, scores, strict=True)}


def mean_over_cases(dice_per_case: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean Dice of each class over the cases: {case_id: {class: Dice}} -> {class: Dice}.

    No cases give an empty answer, not a number made up.
    """
    sums: dict[str, list[float]] = {}
    for scores in dice_per_case.values():
        for name, score in scores.items():
            sums.setdefault(name, []).append(score)
    return {name: float(np.mean(values)) for name, values in sums.items()}
