"""Polygons cut at the image's border: area beyond it goes, corners inside never move."""

from __future__ import annotations

import numpy as np

from domain.geometry import Polygon, Ring


def cut_at_border(polygon: Polygon, size_hw: tuple[int, int]) -> Polygon | None:
    """The part of a polygon inside the image; itself where nothing reaches beyond.

    Even-odd over all rings, as it was; where several parts stay they hang together by lines along
    the border. The method is that of Sutherland and Hodgman, "Reentrant Polygon Clipping", 1974.

    Args:
        polygon: In continuous pixel coordinates.
        size_hw: (height, width) of the image in pixels.

    Returns:
        The polygon; None when nothing of it has an area inside.
    """
    limits = np.array([size_hw[1], size_hw[0]], dtype=np.float64)
    if all((ring >= 0).all() and (ring <= limits).all() for ring in polygon.rings):
        return polygon
    exterior = _cut(polygon.exterior, limits)
    if exterior is None:
        return None
    holes = (_cut(hole, limits) for hole in polygon.holes)
    return Polygon(exterior, tuple(hole for hole in holes if hole is not None))


def _cut(ring: Ring, limits: Ring) -> Ring | None:
    for axis in (0, 1):
        for limit, side in ((0.0, 1.0), (float(limits[axis]), -1.0)):
            ring = _half(ring, axis, limit, side)
            if len(ring) < 3:
                return None
    spread = ring.max(axis=0) - ring.min(axis=0)
    return ring if (spread > 0).all() else None


def _half(ring: Ring, axis: int, limit: float, side: float) -> Ring:
    """The ring where ``side * (coordinate - limit)`` is 0 or more."""
    depth = side * (ring[:, axis] - limit)
    if (depth >= 0).all():
        return ring
    following = np.roll(ring, -1, axis=0)
    next_depth = np.roll(depth, -1)
    points = []
    for here, there, d, e in zip(ring, following, depth, next_depth, strict=True):
        if d >= 0:
            points.append(here)
        if (d >= 0) != (e >= 0):
            crossing = here + (there - here) * (d / (d - e))
            crossing[axis] = limit
            points.append(crossing)
    return np.array(points, dtype=np.float64).reshape(-1, 2)
