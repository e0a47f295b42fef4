"""Polygons: ``points`` in percent, one ring, even-odd.

``closed`` says nothing about the area: the editor submits closed rings only, older exports lack
the field, and a ring left open is closed by its last edge, as the editor fills it.
"""

from __future__ import annotations

import numpy as np

from converters.label_studio.percent import percent_to_pixels
from converters.label_studio.regions.drawing import Drawing, Where, is_beside, nothing
from converters.label_studio.regions.value import Value, points
from domain.geometry import Polygon
from domain.text import counted


def read(value: Value, where: Where) -> Drawing:
    """The ring as it was drawn; what lies beyond the image is cut off when it is painted.

    Two points are a line, which marks the pixels it crosses; one point is a slip of the hand.
    """
    ring = percent_to_pixels(points(value, "points"), where.size_hw)
    n_distinct = len(np.unique(ring, axis=0))
    beside = is_beside(ring, where.size_hw)
    if n_distinct < 2 and not beside:
        return nothing("degenerate_polygon", f"has {counted(len(ring), 'point')} and no area")
    closed = np.concatenate([ring, ring[:1]])
    return Drawing(Polygon(ring), outline=(closed,), is_outside=beside)
