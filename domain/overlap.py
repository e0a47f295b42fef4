"""Overlap: what two sets of pixels share, as Dice and IoU. The one definition of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Overlap:
    """The areas of two sets of pixels, and of what they share; in pixels.

    Two empty sets have neither Dice nor IoU (0 / 0): None. It would be 1 if saying nothing where
    nothing is were drawing well. But most classes are absent from most images, so that 1 would be
    had for nothing, raise every mean it enters, and say nothing about how the class is drawn where
    it is. nnU-Net (NaN) and Metrics Reloaded leave such a pair out as well.
    """

    shared_px: int
    first_px: int
    second_px: int

    @property
    def dice(self) -> float | None:
        """2 |A and B| / (|A| + |B|) in [0, 1] (Dice, 1945); None when both are empty."""
        total = self.first_px + self.second_px
        return 2.0 * self.shared_px / total if total else None

    @property
    def iou(self) -> float | None:
        """|A and B| / |A or B| in [0, 1] (Jaccard, 1912), = Dice / (2 - Dice); None when empty."""
        union = self.first_px + self.second_px - self.shared_px
        return self.shared_px / union if union else None


def overlap(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Overlap:
    """Counts the pixels of two masks (height, width) bool of one shape."""
    return Overlap(
        int(np.count_nonzero(first & second)),
        int(np.count_nonzero(first)),
        int(np.count_nonzero(second)),
    )
