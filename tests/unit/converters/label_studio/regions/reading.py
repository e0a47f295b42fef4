"""Reads one region and paints it, for the tests of the region readers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from converters.label_studio.regions import READERS, Where
from converters.painting.rasterize import shape_to_mask

Mask = npt.NDArray[np.bool_]


def where(
    size_hw: tuple[int, int], *, drawn_hw: tuple[int, int] | None = None, line_width_px: float = 3.0
) -> Where:
    return Where(size_hw, drawn_hw or size_hw, line_width_px)


def painted(kind: str, value: dict[str, Any], place: Where) -> Mask:
    """(height, width) bool; all False where the reader says that nothing was drawn."""
    drawing = READERS[kind](value, place)
    if drawing.shape is None:
        return np.zeros(place.size_hw, dtype=bool)
    return shape_to_mask(drawing.shape, place.size_hw)


def centres(size_hw: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(x, y) of every pixel's centre."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    return x, y
