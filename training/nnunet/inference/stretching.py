"""StretchedMaps: small maps brought to the size of an image, some rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class StretchedMaps:
    """Bilinear, as ``torch.nn.functional.interpolate`` does it to the whole maps.

    Attributes:
        maps: (fold, class, height, width) float32.
        size_hw: (height, width) in pixels that they are brought to.
    """

    maps: npt.NDArray[np.float32]
    size_hw: tuple[int, int]

    def rows(self, wanted: slice) -> npt.NDArray[np.float32]:
        """(fold, class, row, width) float32: equal numbers whichever rows are asked for at once."""
        height, width = self.maps.shape[2:]
        found = self.maps[:, :, wanted]
        if height != self.size_hw[0]:
            centres = np.arange(wanted.start, wanted.stop) + 0.5
            at = np.clip(centres * (height / self.size_hw[0]) - 0.5, 0, height - 1)
            above = at.astype(np.intp)
            share = (at - above).astype(np.float32)[:, np.newaxis]
            found = self.maps[:, :, above]
            below = self.maps[:, :, np.minimum(above + 1, height - 1)]
            below -= found
            below *= share
            found += below
        if width == self.size_hw[1]:
            return found
        n_folds, n_classes, n_rows, _ = found.shape
        flat = torch.from_numpy(np.ascontiguousarray(found)).reshape(1, -1, n_rows, width)
        # Along the rows it only copies: each is where it was.
        stretched = functional.interpolate(flat, (n_rows, self.size_hw[1]), mode="bilinear")
        result: npt.NDArray[np.float32] = stretched.numpy().reshape(
            n_folds, n_classes, n_rows, self.size_hw[1]
        )
        return result
