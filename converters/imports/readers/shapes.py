"""What formats say of shapes: numbers, points and boxes -> shapes in pixels."""

from __future__ import annotations

import math
import re
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from domain.geometry import PixelMask, Polygon, Ring
from domain.text import counted

LARGEST_NUMBER = 1e6
"""A larger pixel coordinate is no drawing's."""

_MOST_LEVELS = 8
"""Of lists: points of a polygon of several, in one list more, are four."""

_FLAT = 1e-9
"""Points whose width is this part of their length lie on a line."""

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?\s*", re.ASCII)


def is_coordinate(value: object) -> TypeGuard[float]:
    """A number of sane size."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    )


def is_size(value: object) -> TypeGuard[int]:
    """A whole number of pixels from 1 to a million."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_NUMBER


def whole_of(value: object) -> object:
    """``40.0`` and ``"40"`` as 40, as some tools write sizes; anything else as it is."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,7}(\.0*)?\s*", value, re.ASCII):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def size_of_image(height: object, width: object) -> tuple[int, int] | None:
    """(height, width) in pixels as a source says it; None where that is no size."""
    height, width = whole_of(height), whole_of(width)
    return (height, width) if is_size(height) and is_size(width) else None


def number_of(text: str | None, what: str) -> float:
    """A number of pixels written as text.

    Raises:
        ValueError: It is none; the message names it by ``what``.
    """
    written = (text or "").strip()
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not is_coordinate(value):
        raise ValueError(f"has {what} {written[:20]!r}, which is no number of pixels")
    return value


def with_numbers(value: Any, levels: int = _MOST_LEVELS) -> Any:
    """Lists in which numbers came as texts (``["12.5", 3]``) with numbers; the rest as it is.

    Args:
        value: A JSON value.
        levels: So many lists in one another are looked into.
    """
    if isinstance(value, list) and levels:
        return [with_numbers(v, levels - 1) if isinstance(v, list | str) else v for v in value]
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value


def ring_of(points: Any) -> Ring:
    """A list of number pairs -> (n, 2) float64. Numbers may be texts.

    Raises:
        ValueError: It is none, or all points lie on a line; the message says why.
    """
    points = with_numbers(points)
    if not isinstance(points, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(map(is_coordinate, p)) for p in points
    ):
        raise ValueError("has points that are no list of number pairs")
    ring = np.array(points, dtype=np.float64).reshape(-1, 2)
    spread = np.linalg.svd(ring - ring.mean(axis=0), compute_uv=False) if len(ring) > 2 else (0, 0)
    if spread[1] <= _FLAT * spread[0]:
        raise ValueError(f"has {counted(len(ring), 'point')} and no area")
    return ring


def box_polygon(x: float, y: float, width: float, height: float) -> Polygon:
    """A rectangle from its upper left corner."""
    corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    return Polygon(np.array(corners, dtype=np.float64))


def box_of_corners(points: Any) -> Polygon:
    """A rectangle, turned or not, from its four corners in any order; a fifth closes it.

    Raises:
        ValueError: They are no corners of one.
    """
    ring = np.unique(ring_of(points), axis=0)
    if len(ring) != 4:
        raise ValueError(f"is a rectangle with {counted(len(ring), 'corner')}")
    x, y = (ring - ring.mean(axis=0)).T
    return Polygon(ring[np.argsort(np.arctan2(y, x))])


def box_between(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A rectangle from two corners.

    Raises:
        ValueError: It has no area.
    """
    if right <= left or bottom <= top:
        raise ValueError("is a box without area")
    return box_polygon(left, top, right - left, bottom - top)


def box_around(centre_xy: tuple[float, float], size_wh: tuple[float, float]) -> Polygon:
    """A rectangle from its centre.

    Raises:
        ValueError: It has no area.
    """
    (x, y), (width, height) = centre_xy, size_wh
    if width <= 0 or height <= 0:
        raise ValueError("is a box without area")
    return box_polygon(x - width / 2, y - height / 2, width, height)


def turned_box(box: Polygon, angle: float) -> Polygon:
    """A rectangle turned about its centre, by radians, clockwise on the screen."""
    if not angle:
        return box
    cos, sin = math.cos(angle), math.sin(angle)
    centre = box.exterior.mean(axis=0)
    return Polygon((box.exterior - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre)


def ellipse_polygon(
    centre_xy: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Polygon:
    """An ellipse as a polygon of the same area, never more than a tenth of a pixel off.

    Args:
        centre_xy: In pixels.
        radii: Along the two axes, in pixels.
        angle: Of the first axis against x, in radians, clockwise on the screen.
    """
    largest = max(*radii, 1.0)
    n = min(max(12, math.ceil(math.pi / math.sqrt(0.1 / largest))), 720)
    turns = np.linspace(0.0, 2 * math.pi, n, endpoint=False)
    # The inscribed polygon is a little too small.
    grow = math.sqrt(2 * math.pi / (n * math.sin(2 * math.pi / n)))
    u, v = grow * radii[0] * np.cos(turns), grow * radii[1] * np.sin(turns)
    cos, sin = math.cos(angle), math.sin(angle)
    points = [centre_xy[0] + u * cos - v * sin, centre_xy[1] + u * sin + v * cos]
    return Polygon(np.stack(points, axis=1))


def cut_mask(inside: npt.NDArray[np.bool_], top: int, left: int) -> PixelMask:
    """A window of pixels without what lies above or left of the image.

    Raises:
        ValueError: Nothing of it is in the image.
    """
    inside = inside[max(-top, 0) :, max(-left, 0) :]
    if not inside.any():
        raise ValueError("covers no pixel of the image")
    return PixelMask(max(top, 0), max(left, 0), np.asarray(inside, dtype=np.bool_))
