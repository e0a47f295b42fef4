"""Dice of label maps, and its means: the one rule for training, gate, score and every report.

**Absent is not perfect.** A class that is neither in the truth nor in the prediction of an image
says nothing there: its Dice is None (NaN in arrays, null in JSON), never 1. It enters no mean. A
class that is in one of the two only has Dice 0.

Three means, and what enters each:

- *of a class* (``mean_over_cases``): its images that say something. None when there is none.
- *over the classes* (``mean_over_classes``), nnU-Net's foreground mean, the figure of a fold and of
  a run: the classes that have a mean.
- *of an image* (``image_dice``): its classes that say something. An image with nothing in it,
  predicted empty, has no such class, and yet is a good prediction: nobody would change it. Its own
  figure is 1. It enters the mean over images and the score, and no class's mean: an image without
  a class says nothing about how one is drawn.

Pixels that the truth ignores (nnU-Net's ignore label, the integer after the last class) count in
neither label map: nobody knows what is right there.

Values are kept for every class that was measured, also None, so that a class that was absent can be
told from one that a version does not know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap
from domain.overlap import overlap

ClassDice = dict[str, float | None]
"""{class: Dice in [0, 1], or None where it is absent}: of an image, or means over images."""

DicePerCase = dict[str, ClassDice]
"""{case id: {class: Dice in [0, 1], or None where it is absent}}."""


def dice_per_class(predicted: LabelMap, truth: LabelMap, n_classes: int) -> npt.NDArray[np.float64]:
    """Dice = 2 |P and T| / (|P| + |T|) of each class.

    Args:
        predicted: (height, width) integers, 0 = background, k = class k.
        truth: The same shape and meaning; pixels above ``n_classes`` are ignored.
        n_classes: Classes without background, at least 1.

    Returns:
        (n_classes,) float64 in [0, 1]; entry k - 1 is class k. NaN for a class absent from both.

    Raises:
        ValueError: The shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"label maps differ in shape: {predicted.shape} and {truth.shape}")
    predicted = where_known(predicted, truth, n_classes)
    scores = [overlap(predicted == k, truth == k).dice for k in range(1, n_classes + 1)]
    return np.array([math.nan if score is None else score for score in scores], dtype=np.float64)


def where_known(predicted: LabelMap, truth: LabelMap, n_classes: int) -> LabelMap:
    """A prediction with background wherever the truth ignores: what is said there is not judged.

    Args:
        predicted: (height, width) integers.
        truth: The same shape; pixels above ``n_classes`` are ignored.
        n_classes: Classes without background.

    Returns:
        The same array where nothing is ignored.
    """
    ignored = truth > n_classes
    return np.where(ignored, predicted.dtype.type(0), predicted) if ignored.any() else predicted


def named_dice(predicted: LabelMap, truth: LabelMap, class_values: Iterable[str]) -> ClassDice:
    """``dice_per_class`` by class name, None for NaN; ``class_values`` in integer order."""
    names = tuple(class_values)
    scores = dice_per_class(predicted, truth, len(names)).tolist()
    return {
        name: None if math.isnan(score) else score
        for name, score in zip(names, scores, strict=True)
    }


def image_dice(scores: Iterable[float | None]) -> float:
    """An image's own figure in [0, 1]: the mean over its classes that say something.

    1 when none does: nothing is there, and nothing was predicted.
    """
    found = _mean(scores)
    return 1.0 if found is None else found


def mean_over_images(dice_per_case: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """Mean of ``image_dice`` over the cases; None without cases."""
    return _mean(image_dice(scores.values()) for scores in dice_per_case.values())


def mean_over_cases(dice_per_case: Mapping[str, Mapping[str, float | None]]) -> ClassDice:
    """Mean Dice of each class over the cases that say something about it.

    Returns:
        {class: Dice in [0, 1]}, None for a class absent from every case. No cases give an empty
        answer, not a number made up.
    """
    scores_of: dict[str, list[float | None]] = {}
    for scores in dice_per_case.values():
        for name, score in scores.items():
            scores_of.setdefault(name, []).append(score)
    return {name: _mean(scores) for name, scores in scores_of.items()}


def mean_over_classes(dice: Mapping[str, float | None]) -> float | None:
    """Mean of a figure per class over the classes that have one; None when none has."""
    return _mean(dice.values())


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
