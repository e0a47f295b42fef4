"""Polygon with holes -> one keyhole ring, for formats that have one ring per shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domain.geometry import Polygon, Ring

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


@dataclass(frozen=True, slots=True)
class _Bridge:
    """Joins vertex ``at`` of a ring (0: the exterior) to vertex ``start`` of hole ``hole``."""

    length_px: float
    ring: int
    at: int
    hole: int
    start: int


def keyhole_ring(polygon: Polygon) -> Ring:
    """Joins exterior and holes by zero-width bridges, the shortest between vertices.

    A bridge is walked both ways, so it cancels under the even-odd rule; holes are wound against
    the exterior, so that a renderer which fills by the nonzero rule leaves them open too. An
    editor draws the bridge as a line; a hole may hang on another one, so that all of them together
    are as short as can be without further vertices.

    Args:
        polygon: exterior of n points and holes of m points each, in pixels, wound either way.

    Returns:
        (n + sum(m + 2), 2) float64, wound as the exterior. Without holes the exterior itself.
    """
    exterior_is_positive = signed_area(polygon.exterior) >= 0
    holes = [
        hole[::-1] if (signed_area(hole) >= 0) == exterior_is_positive else hole
        for hole in polygon.holes
    ]
    if not holes:
        return polygon.exterior
    rings = [polygon.exterior, *holes]
    bridges: dict[int, list[_Bridge]] = {}
    for bridge in _shortest_bridges(rings):
        bridges.setdefault(bridge.ring, []).append(bridge)
    return _walk(rings, bridges)


def rings_of(ring: Ring) -> tuple[Ring, tuple[Ring, ...]]:
    """(exterior, holes) of a keyhole ring: the reverse of ``keyhole_ring``.

    A place that the ring comes back to closes a part of it: a hole, or a bridge that was walked
    both ways. So a ring that touches itself in a corner has holes, too.

    Args:
        ring: (n, 2) in any unit; bridged places are equal to the last bit.
    """
    path: list[tuple[float, float]] = []
    places: dict[tuple[float, float], int] = {}
    holes: list[Ring] = []
    for x, y in ring.tolist():
        at = places.get((x, y))
        if at is None:
            places[x, y] = len(path)
            path.append((x, y))
            continue
        closed = path[at:]
        if len(closed) >= 3:
            holes.append(np.array(closed, dtype=np.float64))
        for gone in path[at + 1 :]:
            del places[gone]
        del path[at + 1 :]
    return np.array(path, dtype=np.float64).reshape(-1, 2), tuple(holes)


def signed_area(ring: Ring) -> float:
    """Shoelace area in square pixels; positive when x turns towards y (clockwise on a screen)."""
    x, y = (ring - ring[0]).T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _shortest_bridges(rings: Sequence[Ring]) -> list[_Bridge]:
    """The shortest tree of bridges from the exterior to every hole (Prim's method)."""
    from scipy.spatial import cKDTree  # slow to load

    trees = [cKDTree(ring) for ring in rings]
    low = np.array([ring.min(axis=0) for ring in rings])
    high = np.array([ring.max(axis=0) for ring in rings])
    waiting = {hole: _bridge(rings, trees, 0, hole) for hole in range(1, len(rings))}
    found = []
    while waiting:
        nearest = min(waiting.values(), key=lambda bridge: (bridge.length_px, bridge.hole))
        found.append(nearest)
        del waiting[nearest.hole]
        # Of many holes few are near: for the others the boxes around them say enough.
        gap = np.maximum(low - high[nearest.hole], low[nearest.hole] - high)
        apart = np.hypot(*np.maximum(gap, 0.0).T)
        for hole, known in waiting.items():
            if apart[hole] >= known.length_px:
                continue
            other = _bridge(rings, trees, nearest.hole, hole)
            if other.length_px < known.length_px:
                waiting[hole] = other
    return found


def _bridge(rings: Sequence[Ring], trees: Sequence[cKDTree], ring: int, hole: int) -> _Bridge:
    """The closest vertices of two rings."""
    # The smaller ring asks the larger one's tree.
    if len(rings[ring]) >= len(rings[hole]):
        lengths, near = trees[ring].query(rings[hole])
        start = int(lengths.argmin())
        return _Bridge(float(lengths[start]), ring, int(near[start]), hole, start)
    lengths, near = trees[hole].query(rings[ring])
    at = int(lengths.argmin())
    return _Bridge(float(lengths[at]), ring, at, hole, int(near[at]))


def _walk(rings: Sequence[Ring], bridges: dict[int, list[_Bridge]]) -> Ring:
    """All rings as one: along each, over every bridge that leaves it, round the hole, and back."""
    points: list[Ring] = []
    # (ring, its vertices still to come): a stack, since holes may hang on holes without end.
    stack = [(0, iter(range(len(rings[0]))))]
    leaving = {
        (ring, at): [b for b in of_ring if b.at == at]
        for ring, of_ring in bridges.items()
        for at in {b.at for b in of_ring}
    }
    while stack:
        ring, rest = stack[-1]
        for vertex in rest:
            points.append(rings[ring][vertex])
            crossing = leaving.get((ring, vertex), [])
            if crossing:
                bridge = crossing.pop(0)
                n = len(rings[bridge.hole])
                around = [(bridge.start + i) % n for i in range(n)] + [bridge.start]
                # Back on this ring it goes on at the same vertex, over the next bridge if any.
                stack[-1] = (ring, iter([vertex, *rest]))
                stack.append((bridge.hole, iter(around)))
                break
        else:
            stack.pop()
    return np.array(points, dtype=np.float64)
