"""Polygon with holes -> one keyhole ring, for formats that have one ring per shape."""

from __future__ import annotations

import numpy as np

from domain.geometry import Polygon, Ring


def keyhole_ring(polygon: Polygon) -> Ring:
    """Joins exterior and holes by zero-width bridges.

    A bridge is walked both ways, so it cancels under the even-odd rule; holes are wound against
    the exterior, so that a renderer which fills by the nonzero rule leaves them open too.

    Args:
        polygon: exterior of n points and holes of m points each, in pixels, wound either way.

    Returns:
        (n + sum(m + 2), 2) float64, wound as the exterior. Without holes the exterior itself.
    """
    ring = polygon.exterior
    exterior_is_positive = signed_area(ring) >= 0
    holes = [
        hole[::-1] if (signed_area(hole) >= 0) == exterior_is_positive else hole
        for hole in polygon.holes
    ]
    # From left to right, so that a bridge seldom runs across a hole still to come.
    for hole in sorted(holes, key=lambda h: (float(h[:, 0].min()), float(h[:, 1].min()))):
        at, start = _closest_pair(ring, hole)
        inner = np.roll(hole, -start, axis=0)
        ring = np.concatenate([ring[: at + 1], inner, inner[:1], ring[at:]])
    return ring


def signed_area(ring: Ring) -> float:
    """Shoelace area in square pixels; positive when x turns towards y (clockwise on a screen)."""
    x, y = (ring - ring[0]).T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _closest_pair(ring: Ring, hole: Ring) -> tuple[int, int]:
    """Indices of the closest points of the two rings."""
    squared = ((ring[:, np.newaxis, :] - hole[np.newaxis, :, :]) ** 2).sum(axis=2)
    at, start = np.unravel_index(int(squared.argmin()), squared.shape)
    return int(at), int(start)
