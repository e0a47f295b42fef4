"""Rectangles: ``x, y`` of the first corner, ``width, height``, ``rotation`` around that corner.

The editor (RectRegion.jsx, Konva) turns the drawn rectangle in pixels, clockwise on the screen, so
a turned rectangle is none in percent unless the image is square.
"""

from __future__ import annotations

import numpy as np

from converters.label_studio.percent import lengths_to_pixels, point_to_pixels
from converters.label_studio.regions.drawing import Drawing, Where, is_beside
from converters.label_studio.regions.value import Value, number
from domain.geometry import Polygon


def read(value: Value, where: Where) -> Drawing:
    """The four corners; what lies beyond the image is cut off. A negative side is a flipped one."""
    corner = point_to_pixels(number(value, "x"), number(value, "y"), where.size_hw)
    width, height = lengths_to_pixels(
        number(value, "width"), number(value, "height"), where.size_hw
    )
    turn = np.deg2rad(number(value, "rotation", default=0.0) % 360)
    across = width * np.array([np.cos(turn), np.sin(turn)])
    down = height * np.array([-np.sin(turn), np.cos(turn)])
    if turn == 0:  # sides along the axes exactly
        across, down = np.array([width, 0.0]), np.array([0.0, height])
    start = np.array(corner)
    ring = np.stack([start, start + across, start + across + down, start + down])
    closed = np.concatenate([ring, ring[:1]])
    return Drawing(Polygon(ring), outline=(closed,), is_outside=is_beside(ring, where.size_hw))
