"""What of a polygon lies on the image: it is cut at the border, its corners are never moved."""

from __future__ import annotations

import numpy as np
import shapely

from domain.geometry import Polygon, Ring


def parts_on_image(polygon: Polygon, size_hw: tuple[int, int]) -> tuple[Polygon, ...]:
    """The parts of a polygon that lie on the image.

    A plain polygon is cut into its parts. One whose rings touch or cross themselves (a keyhole)
    stays one: where it leaves the image its rings run along the border (Sutherland and Hodgman,
    "Reentrant polygon clipping", CACM 17, 1974), which changes nothing inside by the even-odd rule.

    Args:
        polygon: Rings in pixels, wherever they lie.
        size_hw: (height, width) of the image in pixels.

    Returns:
        Polygons in [0, width] x [0, height]; the polygon itself where all of it is, none where no
        area is.
    """
    height, width = size_hw
    points = np.concatenate(polygon.rings)
    if len(points) == 0 or (points.min() >= 0 and (points.max(axis=0) <= [width, height]).all()):
        return (polygon,)
    if len(polygon.exterior) >= 3:
        whole = shapely.Polygon(polygon.exterior, [h for h in polygon.holes if len(h) >= 3])
        if whole.is_valid:
            cut = shapely.intersection(whole, shapely.box(0, 0, width, height))
            parts = shapely.get_parts(cut)
            return tuple(_polygon_of(p) for p in parts if isinstance(p, shapely.Polygon) and p.area)
    rings = [_cut(ring, size_hw) for ring in polygon.rings]
    rings = [ring for ring in rings if len(ring) >= 3]
    return (Polygon(rings[0], tuple(rings[1:])),) if rings else ()


def _polygon_of(shape: shapely.Polygon) -> Polygon:
    exterior, *holes = (
        np.asarray(ring.coords, dtype=np.float64)[:-1]
        for ring in (shape.exterior, *shape.interiors)
    )
    return Polygon(exterior, tuple(holes))


def _cut(ring: Ring, size_hw: tuple[int, int]) -> Ring:
    height, width = size_hw
    for axis, limit, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        ring = _half(ring, axis, float(limit), sign)
    return ring


def _half(ring: Ring, axis: int, limit: float, sign: int) -> Ring:
    """The ring with its points beyond a line replaced by where it crosses that line."""
    if len(ring) == 0:
        return ring
    depth = sign * (ring[:, axis] - limit)
    inside = depth >= 0
    after, depth_after = np.roll(ring, -1, axis=0), np.roll(depth, -1)
    crosses = inside != np.roll(inside, -1)
    # From the inner end, whichever way the edge is walked: a bridge's two ways cross in one point.
    inner = np.where(inside[:, np.newaxis], ring, after)
    outer = np.where(inside[:, np.newaxis], after, ring)
    reach = np.where(crosses, np.abs(depth) + np.abs(depth_after), 1.0)
    share = np.where(inside, np.abs(depth), np.abs(depth_after)) / reach
    crossing = inner + share[:, np.newaxis] * (outer - inner)
    crossing[:, axis] = limit
    both = np.stack([ring, crossing], axis=1)
    found: Ring = both[np.stack([inside, crosses], axis=1)]
    return found
