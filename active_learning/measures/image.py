"""ImageMeasures: what the folds' probabilities say about one image, in numbers to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

import numpy as np

from active_learning.measures.agreement import FoldAgreement
from active_learning.measures.doubt import Doubt, check, row_blocks
from domain.prediction import FoldProbabilities, most_probable
from training.evaluation.soft_dice import SoftDice


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """Of one class.

    Attributes:
        share: Of the image's pixels, where it is the most probable class of the mean map; [0, 1].
        highest: Its highest mean probability at any pixel, in [0, 1].
        soft_dice: ``SoftDice.dice_of``; None where it is nowhere the most probable.
        pairwise_dice: ``FoldAgreement.dice_of``; None where nothing was compared, or none sees it.
    """

    share: float
    highest: float
    soft_dice: float | None
    pairwise_dice: float | None


@dataclass(frozen=True, slots=True)
class ImageMeasures:
    """Of one image, before any calibration.

    What folds disagree on is of a single one measured between its views of the image mirrored.

    Attributes:
        n_folds: Maps that were averaged.
        soft_dice: ``SoftDice.dice`` in [0, 1]: the Dice to expect if the probabilities were true.
        pairwise_dice: ``FoldAgreement.dice`` in [0, 1]; None of one fold without views.
        entropy: Mean entropy of the mean map in nats, over the image.
        entropy_band: The same where there may be foreground (``doubt.FOREGROUND_FROM``).
        information: Mean mutual information in nats, over the image; 0, which says nothing, of
            one fold without views: see ``known_information``.
        information_band: The same where there may be foreground.
        classes: By name, as the version was trained on them.
        form: Of this document.
    """

    n_folds: int
    soft_dice: float
    pairwise_dice: float | None
    entropy: float
    entropy_band: float
    information: float
    information_band: float
    classes: dict[str, ClassMeasures] = field(default_factory=dict)
    form: Literal[1] = 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing is predicted."""
        return not any(one.share for one in self.classes.values())

    @property
    def known_information(self) -> float | None:
        """``information``, or None where there was nothing to compare."""
        return None if self.pairwise_dice is None else self.information


def measure_image(
    blocks: Iterable[FoldProbabilities],
    names: Mapping[int, str] | None = None,
    views: Iterable[FoldProbabilities | None] | None = None,
) -> ImageMeasures:
    """Measures an image whose blocks come one after the other, bit by bit alike however it is cut.

    Args:
        blocks: (fold, class, row, width) float32 softmax in [0, 1]; together they are the image.
        names: Integer -> name of the classes that count; None: all, by their numbers.
        views: For each block (view, class, row, width), what is compared in the place of folds;
            None: the folds are.

    Raises:
        ValueError: No block, or one with another number of axes, no fold, or fewer than two
            classes; not as many views as blocks.
    """
    doubt = Doubt()
    soft: SoftDice | None = None
    n_folds = 0
    pairs = zip(blocks, repeat(None)) if views is None else zip(blocks, views, strict=True)
    for whole, seen in pairs:
        check(whole)
        if soft is None:
            n_folds, n_classes = whole.shape[:2]
            names = {k: str(k) for k in range(1, n_classes)} if names is None else names
            soft, agreement = SoftDice(names), FoldAgreement(names)
        for rows in row_blocks(whole):
            block = whole[:, :, rows]
            mean = np.asarray(block.mean(axis=0))
            soft.add(mean, most_probable(mean))
            compared = block if seen is None else seen[:, :, rows]
            doubt.add(block, mean, None if seen is None else compared)
            if len(compared) > 1:
                agreement.add(most_probable(compared))
    if soft is None or names is None:
        raise ValueError("An image to measure must have at least one block.")
    return ImageMeasures(
        n_folds=n_folds,
        soft_dice=soft.dice,
        pairwise_dice=agreement.dice,
        entropy=doubt.entropy,
        entropy_band=doubt.entropy_band,
        information=doubt.information,
        information_band=doubt.information_band,
        classes={
            name: ClassMeasures(
                share=soft.share_of(number),
                highest=soft.highest_of(number),
                soft_dice=soft.dice_of(number),
                pairwise_dice=agreement.dice_of(number),
            )
            for number, name in names.items()
        },
    )
