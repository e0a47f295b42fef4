"""Dice of two label maps, per class, and its means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap


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
    scores = np.ones(n_classes, dtype=np.float64)
    for k in range(1, n_classes + 1):
        a, b = predicted == k, truth == k
        size = int(a.sum()) + int(b.sum())
        if size:
            scores[k - 1] = 2.0 * int((a & b).sum()) / size
    return scores


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
