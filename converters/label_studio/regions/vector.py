"""Vectors: ``vertices`` joined by straight lines and Bezier curves, ``closed`` or not.

As the editor draws them (KonvaVector.tsx, VectorShape.tsx): a vertex is joined to the one that its
``prevPointId`` names; between Bezier vertices runs the cubic with the former's ``controlPoint2``
and the latter's ``controlPoint1``, and where one of the two has none, a point at 30 % of the chord.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from converters.label_studio.percent import point_to_pixels
from converters.label_studio.regions.bezier import flatten
from converters.label_studio.regions.drawing import Drawing, RegionError, Where, is_beside, nothing
from converters.label_studio.regions.value import Value, check_count, is_number
from converters.painting.spans import line_spans, spans_to_mask
from domain.geometry import Polygon, Ring
from domain.text import shown

MAX_VERTICES = 20_000
"""Vertices in one vector: each may be a curve of a hundred points."""

_CHORD_SHARE = 0.3
Link = tuple[int, int]
"""Indices of two joined vertices."""


def read(value: Value, where: Where) -> Drawing:
    """Closed: the area, even-odd. Open, branching ones too: the lines at ``line_width_px``.

    A closed vector whose links don't form one ring is read in the order of its vertices.
    """
    vertices = value.get("vertices")
    if not isinstance(vertices, list) or not all(isinstance(v, dict) for v in vertices):
        raise RegionError("has vertices that are no list of objects")
    check_count(len(vertices), MAX_VERTICES)
    if not vertices:
        return nothing("empty_region", "has no vertices")
    anchors = np.array([_point(vertex, where) for vertex in vertices])
    if value.get("closed") is True and len(vertices) > 2:
        ring = np.concatenate(
            [_line(vertices, anchors, link, where)[:-1] for link in _ring_links(vertices)]
        )
        return Drawing(
            Polygon(ring),
            outline=(np.concatenate([ring, ring[:1]]),),
            is_outside=is_beside(ring, where.size_hw),
        )
    lines = [_line(vertices, anchors, link, where) for link in _links(vertices)] or [anchors[:1]]
    mask = spans_to_mask(line_spans(lines, where.line_width_px, where.size_hw), where.size_hw)
    return Drawing(mask, outline=tuple(lines))


def links_of(vertices: list[dict[str, Any]], *, is_closed: bool) -> list[Link]:
    """Which vertices are joined, by their indices.

    Args:
        vertices: objects, which need not be points.
        is_closed: all the way round; without, what is joined may be anything.
    """
    return _ring_links(vertices) if is_closed and len(vertices) > 2 else _links(vertices)


def _point(vertex: dict[str, Any], where: Where) -> tuple[float, float]:
    x, y = vertex.get("x"), vertex.get("y")
    if not (is_number(x) and is_number(y)):
        raise RegionError(f"has a vertex at {shown(x)}, {shown(y)}")
    return point_to_pixels(x, y, where.size_hw)


def _control(vertex: dict[str, Any], key: str, where: Where) -> tuple[float, float] | None:
    """A control point in pixels; None for a corner."""
    found = vertex.get(key)
    if vertex.get("isBezier") is not True or found is None:
        return None
    if not isinstance(found, dict):
        raise RegionError(f"has a vertex with the {key} {shown(found)}")
    return _point(found, where)


def _links(vertices: list[dict[str, Any]]) -> list[Link]:
    """Which vertices are joined; in order of the list where no vertex says."""
    index = {v["id"]: i for i, v in enumerate(vertices) if isinstance(v.get("id"), str)}
    named = [
        (index[before], i)
        for i, v in enumerate(vertices)
        if isinstance(before := v.get("prevPointId"), str) and index.get(before, i) != i
    ]
    return named or [(i, i + 1) for i in range(len(vertices) - 1)]


def _ring_links(vertices: list[dict[str, Any]]) -> list[Link]:
    """The links of a closed vector, all the way round."""
    n = len(vertices)
    after = dict(_links(vertices))
    # The start is the vertex that nothing leads to; in a full circle any.
    order = [next(iter(set(range(n)) - set(after.values())), 0)]
    while len(order) < n and (following := after.get(order[-1], order[0])) != order[0]:
        order.append(following)
    if len(set(order)) < n:
        order = list(range(n))
    return [*itertools.pairwise(order), (order[-1], order[0])]


def _line(vertices: list[dict[str, Any]], anchors: Ring, link: Link, where: Where) -> Ring:
    """(n, 2) points from one vertex to the next, both included."""
    start, end = anchors[link[0]], anchors[link[1]]
    leaving = _control(vertices[link[0]], "controlPoint2", where)
    arriving = _control(vertices[link[1]], "controlPoint1", where)
    if leaving is None and arriving is None:
        return np.stack([start, end])
    chord = _CHORD_SHARE * (end - start)
    first = start + chord if leaving is None else np.array(leaving)
    second = end - chord if arriving is None else np.array(arriving)
    return flatten(start, first, second, end)
