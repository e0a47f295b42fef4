"""Polygons: ``points`` in percent, one ring, even-odd.

``closed`` says nothing about the area: the editor submits closed rings only, older exports lack
the field, and a ring left open is closed by its last edge, as the editor fills it.
"""

from __future__ import annotations

import numpy as np

from converters.percent import percent_to_pixels
from converters.regions.drawing import Drawing, Where, nothing
from converters.regions.value import Value, points
from domain.geometry import Polygon


def read(value: Value, where: Where) -> Drawing:
    """The ring, its points clipped to the image.

    Two points are a line, which marks the pixels it crosses; one point is a slip of the hand.
    """
    percent = points(value, "points")
    ring = percent_to_pixels(percent, where.size_hw)
    n_distinct = len(np.unique(ring, axis=0))
    if n_distinct < 2 and not _is_beside(percent):
        return nothing("degenerate_polygon", f"has {len(ring)} points and no area")
    closed = np.concatenate([ring, ring[:1]])
    return Drawing(Polygon(ring), outline=(closed,), is_outside=_is_beside(percent))


def _is_beside(percent: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    """Whether all points lie beyond one side of the image: clipped, they are a line on it."""
    if len(percent) == 0:
        return False
    return bool((percent.max(axis=0) <= 0).any() or (percent.min(axis=0) >= 100).any())
