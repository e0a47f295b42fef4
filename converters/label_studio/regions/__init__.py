"""A region's ``value`` in Label Studio's JSON -> a shape in pixels: one module per region type."""

from __future__ import annotations

from collections.abc import Callable

from converters.label_studio.regions import (
    bitmask,
    brush,
    ellipse,
    keypoint,
    polygon,
    rectangle,
    vector,
)
from converters.label_studio.regions.drawing import Drawing, RegionError, Where
from converters.label_studio.regions.value import Value

READERS: dict[str, Callable[[Value, Where], Drawing]] = {
    "polygon": polygon.read,
    "rectangle": rectangle.read,
    "ellipse": ellipse.read,
    "brush": brush.read,
    "bitmask": bitmask.read,
    "vector": vector.read,
    "keypoint": keypoint.read,
}
"""By ``RegionType.kind``. Each raises RegionError for a value that is no such region."""

__all__ = ["READERS", "Drawing", "RegionError", "Value", "Where"]
