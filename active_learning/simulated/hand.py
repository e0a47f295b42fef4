"""The hand: how exactly people draw, and the ways in which they make a predicted region fit.

All of it is assumed, and the same for every strategy that is compared by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely

from active_learning.effort import GOOD_ENOUGH
from active_learning.simulated.outlines import Outline, iou_of, shape_of
from domain.geometry import Polygon, Ring

KEEP_IOU = GOOD_ENOUGH / (2.0 - GOOD_ENOUGH)
"""A predicted region with at least this overlap with its object stays as it is: Dice 0.95, about
what two people who draw the same object reach."""

CLOSE = 0.03
"""A point is right where it lies this near to the border, in square roots of the object's area;
never nearer than ``CLOSE_PX`` is asked for."""
CLOSE_PX = 1.0

JITTER_PX = 1.0
"""Standard deviation of a click along x and along y, in pixels; of small objects, at which people
zoom in, ``JITTER`` square roots of the area where that is less."""
JITTER = 0.02


def is_near(shape: Any, one: Outline) -> bool:
    """Whether a person would leave a shape as it is."""
    return iou_of(shape, one.shape) >= KEEP_IOU


def mendings(
    predicted: Outline,
    one: Outline,
    rng: np.random.Generator,
    is_good: Callable[[Any, Outline], bool] = is_near,
) -> Iterator[Polygon]:
    """Ways to make a predicted region good enough; only as it is where that will do."""
    if is_good(predicted.shape, one):
        yield predicted.polygon
        return
    rings = predicted.polygon.rings
    centers = (one.shape.centroid, predicted.shape.centroid)
    way = np.array([centers[0].x - centers[1].x, centers[0].y - centers[1].y])
    way += rng.normal(0.0, _jitter(one.size), 2)
    dragged = Polygon(rings[0] + way, tuple(hole + way for hole in rings[1:]))
    if is_good(shape_of(dragged), one):
        yield dragged
    ring = _mended_ring(rings[0], one, rng)
    if ring is not None:
        mended = Polygon(ring, predicted.polygon.holes)
        if is_good(shape_of(mended), one):
            yield mended


def _mended_ring(ring: Ring, one: Outline, rng: np.random.Generator) -> Ring | None:
    """An outline with its wrong stretches drawn along the object's border.

    Points that lie on the border stay. Between two of them the stretch stays where the border runs
    along it, else the border's own points come in its place.

    Returns:
        (n, 2) in pixels; None where fewer than two points are right.
    """
    border = shapely.LinearRing(_turned_as(one.polygon.exterior, ring))
    close = max(CLOSE_PX, CLOSE * one.size)
    corners = np.asarray(border.coords)[:-1]
    is_right = shapely.distance(border, shapely.points(ring)) <= close
    right = np.flatnonzero(is_right)
    if right.size < 2:
        return None
    length = border.length
    along = np.asarray(shapely.line_locate_point(border, shapely.points(ring[right])))
    of_corners = np.asarray(shapely.line_locate_point(border, shapely.points(corners)))
    # Of the corner at which the border begins both ends are nearest.
    of_corners[0] = 0.0
    points: list[Ring] = []
    for number, index in enumerate(right):
        following = right[(number + 1) % right.size]
        points.append(ring[index : index + 1])
        gap = (along[(number + 1) % right.size] - along[number]) % length
        if gap > length / 2 and right.size > 2:
            # The next one lies behind on the border: both stay, nothing is between them.
            gap -= length
        ahead = (of_corners - along[number]) % length
        between = np.flatnonzero((ahead > 0) & (ahead < gap)) if gap > 0 else np.empty(0, np.intp)
        between = between[np.argsort(ahead[between])]
        n_skipped = (following - index - 1) % len(ring)
        stretch = shapely.LineString([ring[index], ring[following]])
        is_along = not n_skipped and bool(
            (shapely.distance(stretch, shapely.points(corners[between])) <= close).all()
        )
        if not is_along:
            points.append(trembled(corners[between], one.size, rng))
    return np.concatenate(points)


def _turned_as(ring: Ring, other: Ring) -> Ring:
    """A ring that goes round as another one does."""
    return ring if _area(ring) * _area(other) > 0 else ring[::-1]


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def trembled(ring: Ring, size: float, rng: np.random.Generator) -> Ring:
    """Points as they are clicked at an object of this size (square root of its area, pixels)."""
    return ring + rng.normal(0.0, _jitter(size), ring.shape) if len(ring) else ring


def _jitter(size: float) -> float:
    """Standard deviation of a click in pixels, at an object of this size."""
    return min(JITTER_PX, JITTER * size)
