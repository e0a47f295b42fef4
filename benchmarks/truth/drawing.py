"""Regions of Label Studio's JSON drawn with shapely, pixel by pixel, after its own rules.

Percent p along n pixels is p / 100 * n; a pixel belongs to a shape when its centre (i + 0.5) lies
inside, even-odd; what lies beyond the image is cut off there, corners stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import shapely.affinity

from benchmarks.truth.brush import decode

TIE_PX = 1e-6
"""A centre this near to an edge belongs to neither side for sure: rounding decides."""

Mask = npt.NDArray[np.bool_]
Value = Mapping[str, Any]


class UnknownRegionError(ValueError):
    """A region this reader does not know: the session must not draw any."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a region covers, (height, width) bool, and its outline: None where it gives pixels."""

    inside: Mask
    outline: Any = field(default=None)

    def is_tie(self, rows: Sequence[int], columns: Sequence[int]) -> Mask:
        """Whether the centres of some pixels lie on the outline, within ``TIE_PX``."""
        if self.outline is None:
            return np.zeros(len(rows), dtype=np.bool_)
        centres = shapely.points(np.asarray(columns) + 0.5, np.asarray(rows) + 0.5)
        found: Mask = shapely.dwithin(centres, self.outline, TIE_PX)
        return found


def draw(kind: str, value: Value, size_hw: tuple[int, int]) -> Shape:
    """One region.

    Args:
        kind: its ``type``, without the ending ``labels``.
        value: its ``value``.
        size_hw: (height, width) of the image as a browser shows it.

    Raises:
        UnknownRegionError: a kind that is not drawn here.
    """
    height, width = size_hw
    if kind == "polygon":
        return polygon([(x / 100 * width, y / 100 * height) for x, y in value["points"]], size_hw)
    if kind == "rectangle":
        left, top = value["x"] / 100 * width, value["y"] / 100 * height
        right = left + value["width"] / 100 * width
        bottom = top + value["height"] / 100 * height
        turned = shapely.affinity.rotate(
            shapely.box(left, top, right, bottom), value.get("rotation", 0.0), origin=(left, top)
        )
        return polygon(list(turned.exterior.coords)[:-1], size_hw)
    if kind == "ellipse":
        return _ellipse(value, size_hw)
    if kind == "brush":
        return Shape(decode(value["rle"], size_hw))
    raise UnknownRegionError(f"a region of the type {kind!r}")


def polygon(points_xy: Sequence[tuple[float, float]], size_hw: tuple[int, int]) -> Shape:
    """A ring of points in pixels."""
    ring = shapely.Polygon(points_xy)
    inside: Mask = shapely.contains_xy(ring, *_centres(size_hw))
    return Shape(inside, shapely.LinearRing(points_xy))


def _ellipse(value: Value, size_hw: tuple[int, int]) -> Shape:
    height, width = size_hw
    x, y = _centres(size_hw)
    x, y = x - value["x"] / 100 * width, y - value["y"] / 100 * height
    turn = np.deg2rad(value.get("rotation", 0.0))
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    radius_x, radius_y = value["radiusX"] / 100 * width, value["radiusY"] / 100 * height
    return Shape((along / radius_x) ** 2 + (across / radius_y) ** 2 <= 1)


def _centres(size_hw: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    x, y = np.meshgrid(np.arange(size_hw[1]) + 0.5, np.arange(size_hw[0]) + 0.5)
    return x, y
