"""An alpha channel -> the pixels it covers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from converters.label_studio.regions.drawing import Drawing, nothing
from domain.geometry import PixelMask


def alpha_to_drawing(alpha: npt.NDArray[np.uint8], size_hw: tuple[int, int], what: str) -> Drawing:
    """The pixels that are at least half as opaque as the most opaque one.

    For the editor's masks, which are antialiased and reach 255, that is 128 and more. Scripts also
    write 0 and 1, or 0 and 100.

    Args:
        alpha: (height, width) uint8 of the size drawn on.
        size_hw: (height, width) of the real image; its pixels take the value at their centres.
        what: named when the mask is empty ("brush mask").
    """
    peak = int(alpha.max(initial=0))
    if peak == 0:
        return nothing("empty_region", f"has an empty {what}")
    inside = alpha >= (peak + 1) // 2
    if inside.shape != size_hw:
        inside = inside[
            np.ix_(_sampled(inside.shape[0], size_hw[0]), _sampled(inside.shape[1], size_hw[1]))
        ]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(rows) == 0:
        return nothing("empty_region", f"has a {what} without a pixel at the image's size")
    top, left = int(rows[0]), int(columns[0])
    window = inside[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    return Drawing(PixelMask(top, left, window.copy()))


def _sampled(n_drawn: int, n_real: int) -> npt.NDArray[np.int64]:
    """Index of the drawn pixel under each real pixel's centre."""
    under: npt.NDArray[np.int64] = ((np.arange(n_real) + 0.5) * n_drawn / n_real).astype(np.int64)
    return np.minimum(under, n_drawn - 1)
