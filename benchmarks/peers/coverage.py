"""shapely's ``coverage_simplify`` on label maps, a peer of ``benchmarks.geometry``.

It simplifies neighbours together by Visvalingam and Whyatt's method, so that they share their
border, as nnloop's polygons do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from converters.painting.rasterize import polygons_to_label_map
from domain.geometry import LabelMap, Polygon

TOLERANCES = tuple(float(t) / 8 for t in range(4, 33))
"""Roots of the areas of triangles that go, in pixels."""

Coverage = npt.NDArray[np.object_]
"""The outline of each class: polygons of one coverage."""


def outlines(label_map: LabelMap, classes: tuple[int, ...]) -> Coverage:
    """Outlines that give back the classes' pixels, through the middles of the pixels' edges.

    Steps of the pixels are cut off, or the peer would spend its vertices on them. Corners where
    three labels or two diagonal ones meet stay, so that neighbours match, as in a coverage.
    """
    nodes = _nodes(label_map)
    return np.array([_through_middles(_pixels(label_map == c), nodes) for c in classes])


def simplified(coverage: Coverage, tolerance: float) -> Coverage:
    """The coverage with fewer vertices."""
    return np.asarray(shapely.coverage_simplify(coverage, tolerance))


def n_vertices(outline: shapely.Geometry) -> int:
    """Vertices of all rings; the one that closes a ring does not count again."""
    polygons = shapely.get_parts(outline)
    n_rings = len(polygons) + int(shapely.get_num_interior_rings(polygons).sum())
    return int(shapely.get_num_coordinates(outline)) - n_rings


def drawn(coverage: Coverage, classes: tuple[int, ...], size_hw: tuple[int, int]) -> LabelMap:
    """The label map that the outlines give back, by the rule nnloop's own are drawn with."""
    shapes = [
        (index, _polygon(polygon))
        for index, outline in zip(classes, coverage, strict=True)
        for polygon in shapely.get_parts(outline)
        if not polygon.is_empty
    ]
    return polygons_to_label_map(shapes, size_hw)


def _pixels(mask: npt.NDArray[np.bool_]) -> shapely.Geometry:
    """The union of a mask's pixels, from its runs along the rows."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (y, start), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return shapely.union_all(shapely.box(start, y, end, y + 1))


def _nodes(label_map: LabelMap) -> npt.NDArray[np.bool_]:
    """(height + 1, width + 1): whether outlines meet in a corner of pixels."""
    padded = np.pad(label_map, 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, 1:], padded[1:, :-1]
    # Going around a corner the label changes 2 times where an outline passes, more at a node.
    changes = (a != b).astype(np.int8) + (b != c) + (c != d) + (d != a)
    return np.asarray(changes > 2)


def _through_middles(pixels: shapely.Geometry, nodes: npt.NDArray[np.bool_]) -> shapely.Geometry:
    unit = shapely.segmentize(pixels, 1.0)  # a vertex at every corner of a pixel
    polygons = []
    for polygon in shapely.get_parts(unit):
        holes = [_middles(ring, nodes) for ring in polygon.interiors]
        polygons.append(shapely.Polygon(_middles(polygon.exterior, nodes), holes))
    return shapely.MultiPolygon(polygons)


def _middles(ring: shapely.LinearRing, nodes: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    corners = shapely.get_coordinates(ring)[:-1]
    points = np.stack([corners, (corners + np.roll(corners, -1, axis=0)) / 2], axis=1)
    kept = np.ones((len(corners), 2), dtype=np.bool_)
    x, y = corners.astype(np.intp).T
    kept[:, 0] = nodes[y, x]
    return np.asarray(points[kept])


def _polygon(polygon: shapely.Polygon) -> Polygon:
    rings = [shapely.get_coordinates(ring)[:-1] for ring in (polygon.exterior, *polygon.interiors)]
    return Polygon(rings[0], tuple(rings[1:]))
