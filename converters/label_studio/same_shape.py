"""When two shapes of results are the same: they are read alike, however they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.label_studio.predicted import content_of
from converters.label_studio.region_types import RegionType
from converters.label_studio.regions.value import is_number
from converters.label_studio.regions.vector import links_of

_POINTS = ("controlPoint1", "controlPoint2")


def shape_of(
    kind: RegionType, value: dict[str, Any], drawn_hw: tuple[int, int], *, is_ring: bool = False
) -> Any:
    """A JSON value that is equal for shapes that are read alike; None for one nobody can read.

    Percentages count to a millionth, masks by their pixels, rotations modulo 360 degrees.

    Args:
        kind: Of the shape.
        value: The ``value`` of its entry.
        drawn_hw: (height, width) in pixels that it was drawn on; masks can't be read without.
        is_ring: A vector is closed whatever it says.
    """
    if kind.is_mask:
        return content_of(kind, value, drawn_hw)
    if kind.kind == "polygon":
        return _polygon(kind, value, drawn_hw)
    if kind.kind == "vector":
        return _vector(kind, value, drawn_hw, is_ring=is_ring)
    numbers: dict[str, Any] = {key: value.get(key) for key in kind.geometry}
    numbers |= {key: 0 if value.get(key) is None else value[key] for key in kind.optional}
    if not all(map(is_number, numbers.values())):
        return None
    if "rotation" in numbers:
        numbers["rotation"] %= 360
    return content_of(kind, numbers, drawn_hw)


def _polygon(kind: RegionType, value: Mapping[str, Any], drawn_hw: tuple[int, int]) -> Any:
    points = value.get("points")
    if not isinstance(points, list) or not all(
        isinstance(p, list | tuple) and len(p) == 2 and all(map(is_number, p)) for p in points
    ):
        return None
    return content_of(kind, {"points": [list(point) for point in points]}, drawn_hw)


def _vector(
    kind: RegionType, value: Mapping[str, Any], drawn_hw: tuple[int, int], *, is_ring: bool
) -> Any:
    """Also which vertices are joined: lists may be in one order, and their lines not."""
    vertices = value.get("vertices")
    if not isinstance(vertices, list):
        return None
    plain = []
    for vertex in vertices:
        if not _is_point(vertex):
            return None
        is_curve = vertex.get("isBezier") is True
        controls = [vertex.get(key) if is_curve else None for key in _POINTS]
        if not all(point is None or _is_point(point) for point in controls):
            return None
        plain.append(
            {"x": vertex["x"], "y": vertex["y"], "isBezier": is_curve}
            | dict(zip(_POINTS, controls, strict=True))
        )
    is_closed = is_ring or value.get("closed") is True
    links = [list(link) for link in links_of(vertices, is_closed=is_closed)]
    return [content_of(kind, {"vertices": plain}, drawn_hw), is_closed, links]


def _is_point(found: object) -> bool:
    return isinstance(found, dict) and is_number(found.get("x")) and is_number(found.get("y"))
