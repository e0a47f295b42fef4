"""Fewer vertices for a polygon, while its pixels stay nearly the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from converters.rasterize import polygon_to_mask
from domain.geometry import Polygon

_MIN_TOLERANCE_PX = 0.05
"""Below this nothing can be left out of a contour whose steps are half a pixel."""


@dataclass(frozen=True, slots=True)
class Simplification:
    """How much a polygon may change.

    ``tolerance_px`` is the distance by which an edge may move (Douglas, Peucker 1973, 0 = keep
    every corner). ``iou_floor`` (0..1) is the least overlap of the polygon's pixels with the exact
    ones. The tolerance is halved for a polygon that would lose more than half of what the floor
    allows; the other half is for one with more points than ``vertex_budget`` over all rings, whose
    tolerance is raised as far as the floor allows.
    """

    tolerance_px: float = 0.7
    iou_floor: float = 0.96
    vertex_budget: int = 40

    def __post_init__(self) -> None:
        if not self.tolerance_px >= 0:
            raise ValueError(f"tolerance_px must be 0 or more, got {self.tolerance_px}.")
        if not 0 <= self.iou_floor <= 1:
            raise ValueError(f"iou_floor must be in [0, 1], got {self.iou_floor}.")
        if self.vertex_budget < 3:
            raise ValueError(f"vertex_budget must be 3 or more, got {self.vertex_budget}.")


def simplify(polygon: Polygon, how: Simplification) -> Polygon:
    """The polygon with fewer vertices; holes are kept.

    Args:
        polygon: a valid polygon (rings neither cross nor touch themselves), in pixels.
        how: the limits.

    Returns:
        A valid polygon whose vertices are some of the given ones. Where no simplification holds
        the IoU floor, the polygon itself without points on straight edges.
    """
    exact = shapely.Polygon(polygon.exterior, polygon.holes)
    if how.tolerance_px == 0:
        return _simplified(exact, 0.0)
    left, top, right, bottom = exact.bounds
    origin = np.floor([left, top])
    size_hw = (int(np.ceil(bottom - origin[1])), int(np.ceil(right - origin[0])))
    truth = polygon_to_mask(_moved(polygon, origin), size_hw)

    def attempt(tolerance_px: float, floor: float) -> Polygon | None:
        candidate = _simplified(exact, tolerance_px)
        mask = polygon_to_mask(_moved(candidate, origin), size_hw)
        union = np.count_nonzero(mask | truth)
        overlap = np.count_nonzero(mask & truth)
        return candidate if overlap >= floor * union and overlap > 0 else None

    tolerance_px = how.tolerance_px
    ordinary_floor = (1 + how.iou_floor) / 2
    best = attempt(tolerance_px, ordinary_floor)
    while best is None and tolerance_px > _MIN_TOLERANCE_PX:
        tolerance_px /= 2
        best = attempt(tolerance_px, ordinary_floor)
    if best is None:
        return _simplified(exact, 0.0)
    while best.n_vertices > how.vertex_budget and tolerance_px < max(size_hw):
        tolerance_px *= 1.5
        coarser = attempt(tolerance_px, how.iou_floor)
        if coarser is None:
            break
        best = coarser
    return best


def _simplified(exact: shapely.Polygon, tolerance_px: float) -> Polygon:
    shape = shapely.simplify(exact, tolerance_px, preserve_topology=True)
    return Polygon(
        np.asarray(shape.exterior.coords)[:-1],
        tuple(np.asarray(ring.coords)[:-1] for ring in shape.interiors),
    )


def _moved(polygon: Polygon, origin: npt.NDArray[np.float64]) -> Polygon:
    return Polygon(polygon.exterior - origin, tuple(hole - origin for hole in polygon.holes))
