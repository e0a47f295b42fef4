"""Ellipses: centre ``x, y``, ``radiusX, radiusY``, ``rotation`` around the centre.

``radiusX`` is percent of the width, ``radiusY`` of the height; the rotation is clockwise in pixels
(EllipseRegion.jsx, Konva).
"""

from __future__ import annotations

import numpy as np

from converters.label_studio.percent import lengths_to_pixels, point_to_pixels
from converters.label_studio.regions.drawing import Drawing, Where, is_beside
from converters.label_studio.regions.value import Value, number, size
from converters.painting.spans import ellipse_spans, spans_to_mask

_OUTLINE_POINTS = 64


def read(value: Value, where: Where) -> Drawing:
    """The pixels whose centres lie in the ellipse, by its equation."""
    centre = point_to_pixels(number(value, "x"), number(value, "y"), where.size_hw)
    radii = lengths_to_pixels(size(value, "radiusX"), size(value, "radiusY"), where.size_hw)
    degrees = number(value, "rotation", default=0.0) % 360
    turn = np.deg2rad(degrees)
    angles = np.linspace(0, 2 * np.pi, _OUTLINE_POINTS + 1)
    along, across = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    outline = np.column_stack(
        [
            centre[0] + along * np.cos(turn) - across * np.sin(turn),
            centre[1] + along * np.sin(turn) + across * np.cos(turn),
        ]
    )
    reach = [np.hypot(radii[0] * np.cos(turn), radii[1] * np.sin(turn))]
    reach.append(np.hypot(radii[0] * np.sin(turn), radii[1] * np.cos(turn)))
    box = np.array([np.subtract(centre, reach), np.add(centre, reach)])
    spans = ellipse_spans(centre, radii, degrees, where.size_hw)
    return Drawing(
        spans_to_mask([spans], where.size_hw),
        outline=(outline,),
        is_outside=is_beside(box, where.size_hw),
    )
