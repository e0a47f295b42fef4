"""What folds agree on: Dice between their label maps, counted over blocks of an image."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import numpy as np
import numpy.typing as npt

from domain.overlap import Overlap
from training.evaluation import image_dice


class FoldAgreement:
    """Mean Dice between the label maps of every two folds: one of them in the place of the truth.

    The folds have seen different cases, so where they agree an image is probably predicted well
    (query by committee: Seung, Opper, Sompolinsky 1992; as a quality estimate of segmentations:
    Roy et al. 2019, arXiv:1811.09800). An error that all folds share is not seen by it.
    """

    def __init__(self, classes: Collection[int]) -> None:
        """Nothing was added yet; ``classes`` are the integers that count."""
        self._classes = tuple(classes)
        self._areas: dict[int, list[int]] = {}
        self._shared: dict[tuple[int, int], dict[int, int]] = {}

    def add(self, label_maps: npt.NDArray[np.uint8]) -> None:
        """Adds rows of the image: (fold, row, width) uint8 label maps."""
        n_folds = len(label_maps)
        if not self._areas:
            self._areas = {k: [0] * n_folds for k in self._classes}
            pairs = combinations(range(n_folds), 2)
            self._shared = {pair: dict.fromkeys(self._classes, 0) for pair in pairs}
        for number, areas in self._areas.items():
            masks = label_maps == number
            found = np.count_nonzero(masks, axis=(1, 2)).tolist()
            for fold, area in enumerate(found):
                areas[fold] += area
            for (a, b), shared in self._shared.items():
                if found[a] and found[b]:
                    shared[number] += int(np.count_nonzero(masks[a] & masks[b]))

    @property
    def dice(self) -> float | None:
        """In [0, 1], 1 = all folds agree; None of a single map.

        Of every two folds it is the image's own figure (``training.evaluation.image_dice``), over
        the classes that either of them shows: a class that neither does says nothing, one that only
        one of them does counts as 0. Two folds that see nothing at all agree: an image with nothing
        in it, predicted empty, is a good prediction.
        """
        found = [image_dice(dices.values()) for dices in self._dices()]
        return float(np.mean(found)) if found else None

    def dice_of(self, number: int) -> float | None:
        """The same of one class, over the pairs that say something; None where none does."""
        found = [dice for dices in self._dices() if (dice := dices[number]) is not None]
        return float(np.mean(found)) if found else None

    def _dices(self) -> list[dict[int, float | None]]:
        """Per pair of folds the Dice of each class."""
        return [
            {
                number: Overlap(shared, self._areas[number][a], self._areas[number][b]).dice
                for number, shared in of_pair.items()
            }
            for (a, b), of_pair in self._shared.items()
        ]
