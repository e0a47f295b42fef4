"""What folds agree on, counted over blocks of an image: the same figures however it is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from domain.overlap import Overlap
from domain.prediction import FoldProbabilities, most_probable
from training.evaluation import image_dice


class FoldAgreement:
    """``pairwise_fold_dice`` of an image whose blocks are added one after the other."""

    def __init__(self) -> None:
        """Nothing was added yet."""
        self._areas: list[list[int]] = []
        self._shared: dict[tuple[int, int], list[int]] = {}
        self._alone = SoftDice()

    def add(self, block: FoldProbabilities) -> None:
        """Adds rows of the image: (fold, class, row, width) float32 softmax in [0, 1].

        Raises:
            ValueError: It has another number of axes, no fold, or fewer than two classes.
        """
        check(block)
        n_folds, n_classes = block.shape[:2]
        if n_folds == 1:
            self._alone.add(block)
            return
        if not self._areas:
            self._areas = [[0] * n_folds for _ in range(1, n_classes)]
            self._shared = {pair: [0] * (n_classes - 1) for pair in _pairs(n_folds)}
        label_maps = most_probable(block)
        for number, areas in enumerate(self._areas):
            masks = label_maps == number + 1
            found = np.count_nonzero(masks, axis=(1, 2)).tolist()
            for fold, area in enumerate(found):
                areas[fold] += area
            for (a, b), shared in self._shared.items():
                if found[a] and found[b]:
                    shared[number] += int(np.count_nonzero(masks[a] & masks[b]))

    @property
    def dice(self) -> float:
        """In [0, 1]; 1 = all folds agree."""
        if not self._shared:
            return self._alone.dice
        dices = [
            image_dice(
                [
                    Overlap(shared, areas[a], areas[b]).dice
                    for shared, areas in zip(of_pair, self._areas, strict=True)
                ]
            )
            for (a, b), of_pair in self._shared.items()
        ]
        return float(np.mean(dices))


class SoftDice:
    """``expected_soft_dice`` of an image whose blocks are added one after the other."""

    def __init__(self) -> None:
        """Nothing was added yet."""
        self._areas: Sequence[int] = ()
        self._sums: list[list[float]] = []
        self._common: list[list[float]] = []
        self._highest: list[float] = []
        self._surest_background = math.inf

    def add(self, block: FoldProbabilities) -> None:
        """Adds rows, as for ``FoldAgreement.add``."""
        check(block)
        mean = np.asarray(block.mean(axis=0, dtype=np.float64))
        label_map = mean.argmax(axis=0)
        n = len(mean)
        if not self._sums:
            self._areas, self._highest = [0] * n, [0.0] * n
            self._sums, self._common = [[] for _ in range(n)], [[] for _ in range(n)]
        self._surest_background = min(self._surest_background, float(mean[0].min()))
        areas = []
        for index, one in enumerate(mean):
            mask = label_map == index
            areas.append(self._areas[index] + int(np.count_nonzero(mask)))
            self._highest[index] = max(self._highest[index], float(one.max()))
            # Each row by itself, and their exact sum: the same however the image is cut.
            self._sums[index] += one.sum(axis=1).tolist()
            self._common[index] += np.where(mask, one, 0.0).sum(axis=1).tolist()
        self._areas = areas

    @property
    def dice(self) -> float:
        """In [0, 1]."""
        if not any(self._areas[1:]):
            return min(max(self._surest_background, 0.0), 1.0)
        dices, weights = [], []
        for index in range(1, len(self._areas)):
            area = self._areas[index]
            if area == 0:
                dices.append(0.0)
                weights.append(self._highest[index])
            else:
                common, expected = math.fsum(self._common[index]), math.fsum(self._sums[index])
                dices.append(2.0 * common / (area + expected))
                weights.append(1.0)
        # float32 softmax can exceed 1 by a hair.
        return min(float(np.average(dices, weights=weights)), 1.0)


def check(probabilities: FoldProbabilities) -> None:
    """Raises ValueError for another number of axes, no fold, or fewer than two classes."""
    if probabilities.ndim != 4 or probabilities.shape[0] < 1 or probabilities.shape[1] < 2:
        raise ValueError(
            "Fold probabilities must be (fold, class, height, width) with at least one fold and "
            f"two classes, got the shape {probabilities.shape}."
        )


def _pairs(n_folds: int) -> list[tuple[int, int]]:
    return list(combinations(range(n_folds), 2))
