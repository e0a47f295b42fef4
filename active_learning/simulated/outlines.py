"""Regions as people draw them, and which predicted one is of which object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from converters.outlines.vectorize import inner_last
from domain.annotation import Region
from domain.geometry import Polygon, Ring

SAME_OBJECT_IOU = 0.1
"""A predicted region with less overlap with an object is not of it."""
OTHER_CLASS_IOU = 0.5
"""Likewise where its class is another one, and has to be changed."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A region as people draw it: around what lies in it, which is drawn on top.

    Attributes:
        class_index: Its class.
        polygon: In pixels, without the holes that other regions fill.
        shape: The same as shapely's geometry.
        filled: Those holes.
        region_id: Of the region it was made of.
    """

    class_index: int
    polygon: Polygon
    shape: Any
    filled: tuple[Ring, ...] = ()
    region_id: str = ""

    @property
    def size(self) -> float:
        """Square root of its area, in pixels."""
        return float(np.sqrt(max(self.shape.area, 1.0)))

    @property
    def n_points(self) -> int:
        """Of all its rings."""
        return self.polygon.n_vertices


def outlines_of(regions: Sequence[Region]) -> list[Outline]:
    """Outer ones first; holes that other regions fill are none, as people draw."""
    shapes = [(region, shape_of(region.polygons[0])) for region in inner_last(regions)]
    tree = shapely.STRtree([shape for _, shape in shapes])
    found = []
    for region, shape in shapes:
        polygon = region.polygons[0]
        filled = tuple(h for h in polygon.holes if _is_filled(h, tree))
        if filled:
            left = {id(hole) for hole in filled}
            polygon = Polygon(
                polygon.exterior, tuple(h for h in polygon.holes if id(h) not in left)
            )
            shape = shape_of(polygon)
        if not shape.is_empty:
            found.append(Outline(region.class_index, polygon, shape, filled, region.id))
    return found


def _is_filled(hole: Ring, tree: Any) -> bool:
    """Whether regions cover most of a hole."""
    inside = shape_of(Polygon(hole))
    others = tree.geometries[tree.query(inside)]
    return bool(sum(inside.intersection(other).area for other in others) > inside.area / 2)


def shape_of(polygon: Polygon) -> Any:
    """A valid geometry of shapely; empty where there is no area."""
    if len(polygon.exterior) < 3:
        return shapely.Polygon()
    holes = [hole for hole in polygon.holes if len(hole) >= 3]
    return shapely.make_valid(shapely.Polygon(polygon.exterior, holes)).buffer(0)


def iou_of(first: Any, second: Any) -> float:
    """Overlap of two shapes, in [0, 1]; 0 of two without area."""
    shared = float(first.intersection(second).area)
    union = float(first.area + second.area) - shared
    return shared / union if union > 0 else 0.0


def dice_of(first: Any, second: Any) -> float:
    """Of two shapes, in [0, 1]; 1 of two without area: nothing is to be seen of either."""
    total = float(first.area + second.area)
    return 2.0 * float(first.intersection(second).area) / total if total > 0 else 1.0


def matched(
    objects: Sequence[Outline], predicted: Sequence[Outline]
) -> Iterator[tuple[Outline, int | None]]:
    """Each object with the predicted region that is best of it, each of these once.

    The greatest overlap first, and the same class before others.
    """
    pairs: list[tuple[bool, float, int, int]] = []
    if predicted:
        tree = shapely.STRtree([one.shape for one in predicted])
        for number, one in enumerate(objects):
            for position in tree.query(one.shape).tolist():
                other = predicted[position]
                is_other = other.class_index != one.class_index
                iou = iou_of(one.shape, other.shape)
                if iou >= (OTHER_CLASS_IOU if is_other else SAME_OBJECT_IOU):
                    pairs.append((is_other, -iou, number, position))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, number, position in sorted(pairs):
        if number not in found and position not in taken:
            found[number] = position
            taken.add(position)
    for number, one in enumerate(objects):
        yield one, found.get(number)
