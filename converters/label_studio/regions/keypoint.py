"""Keypoints: ``x, y`` and ``width`` in percent of the image's width.

A keypoint is a disc of that width. (The editor draws a marker that keeps its size on the screen.)
"""

from __future__ import annotations

import numpy as np

from converters.label_studio.percent import lengths_to_pixels, point_to_pixels
from converters.label_studio.regions.drawing import Drawing, Where
from converters.label_studio.regions.value import Value, number
from converters.painting.spans import ellipse_spans, spans_to_mask


def read(value: Value, where: Where) -> Drawing:
    """The disc; one too small to cover a pixel centre marks the pixel it lies in."""
    centre = point_to_pixels(number(value, "x"), number(value, "y"), where.size_hw)
    width_px, _ = lengths_to_pixels(number(value, "width", default=0.0), 0.0, where.size_hw)
    radius = max(width_px, 0.0) / 2
    spans = ellipse_spans(centre, (radius, radius), 0.0, where.size_hw)
    return Drawing(spans_to_mask([spans], where.size_hw), outline=(np.array([centre]),))
