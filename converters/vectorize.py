"""Label map or probabilities -> regions: one per connected part, holes and small parts kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from converters.contours import positive_parts
from converters.rasterize import polygon_to_mask
from converters.simplify import Simplification, simplify
from domain.annotation import Region
from domain.geometry import LabelMap, Polygon

_DEFAULT = Simplification()


def label_map_to_regions(
    label_map: LabelMap,
    class_indices: Iterable[int],
    *,
    tolerance_px: float = _DEFAULT.tolerance_px,
    iou_floor: float = _DEFAULT.iou_floor,
    vertex_budget: int = _DEFAULT.vertex_budget,
    min_area_px: int = 0,
) -> tuple[Region, ...]:
    """Draws around every connected part of every class.

    With ``tolerance_px=0`` painting the regions gives the label map back pixel by pixel.

    Args:
        label_map: (height, width) uint8.
        class_indices: the classes to draw, in this order; others are left out.
        tolerance_px: by how many pixels an edge may move; 0 = exact.
        iou_floor: least overlap (0..1) of a simplified part with the exact one, in pixels; the
            tolerance is lowered for a part that would lose more than half of it.
        vertex_budget: a part with more points is simplified further, down to the floor.
        min_area_px: parts of fewer pixels are dropped; 0 keeps everything. Holes always stay,
            because another class may lie in them.

    Returns:
        One region per part: an exterior with its holes, no score. The same label map gives the
        same regions and ids.
    """
    how = Simplification(tolerance_px, iou_floor, vertex_budget)
    edges_half_way = np.ones(label_map.shape, dtype=np.float32)
    return tuple(
        Region(id=region_id(class_index, polygon), class_index=class_index, polygons=(polygon,))
        for class_index in class_indices
        for _, polygon in _parts(edges_half_way, label_map == class_index, how, min_area_px)
    )


def probabilities_to_regions(
    mean_probabilities: npt.NDArray[np.float32],
    class_indices: Iterable[int],
    *,
    tolerance_px: float = _DEFAULT.tolerance_px,
    iou_floor: float = _DEFAULT.iou_floor,
    vertex_budget: int = _DEFAULT.vertex_budget,
    min_area_px: int = 0,
) -> tuple[Region, ...]:
    """Draws around every connected part of the most probable class, with sub-pixel edges.

    An edge runs where the class's probability equals that of its best rival, linear between pixel
    centres; so the pixels inside are those of the argmax (the lower class where two are equal).

    Args:
        mean_probabilities: (class, height, width) float32 in [0, 1]; class 0 is background.
        class_indices: the classes to draw, in this order.
        tolerance_px: by how many pixels an edge may move; 0 = exact.
        iou_floor: least overlap (0..1) of a simplified part with the exact one, in pixels; the
            tolerance is lowered for a part that would lose more than half of it.
        vertex_budget: a part with more points is simplified further, down to the floor.
        min_area_px: parts of fewer pixels are dropped; 0 keeps everything.

    Returns:
        One region per part; its score is the class's mean probability over the part's pixels.
    """
    how = Simplification(tolerance_px, iou_floor, vertex_budget)
    label_map = mean_probabilities.argmax(axis=0)
    regions = []
    for class_index in class_indices:
        own = mean_probabilities[class_index]
        rival = np.delete(mean_probabilities, class_index, axis=0).max(axis=0)
        parts = _parts(own - rival, label_map == class_index, how, min_area_px)
        for exact, polygon in parts:
            window, mask = _window_of(exact)
            regions.append(
                Region(
                    id=region_id(class_index, polygon),
                    class_index=class_index,
                    polygons=(polygon,),
                    score=float(own[window][mask].mean(dtype=np.float64)),
                )
            )
    return tuple(regions)


def region_id(class_index: int, polygon: Polygon, salt: int = 0) -> str:
    """Ten hex digits that depend on nothing but the region's content (and ``salt``)."""
    digest = hashlib.blake2b(f"{class_index}/{salt}".encode(), digest_size=5)
    for ring in polygon.rings:
        digest.update(len(ring).to_bytes(4, "little") + np.round(ring, 6).astype("<f8").tobytes())
    return digest.hexdigest()


def _parts(
    field: npt.NDArray[np.float32],
    inside: npt.NDArray[np.bool_],
    how: Simplification,
    min_area_px: int,
) -> Iterator[tuple[Polygon, Polygon]]:
    """(exact polygon, simplified polygon) of every part that is large enough."""
    for exact in positive_parts(field, inside):
        if min_area_px > 1 and np.count_nonzero(_window_of(exact)[1]) < min_area_px:
            continue
        yield exact, simplify(exact, how)


def _window_of(polygon: Polygon) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
    """The polygon's bounding box as slices (rows, columns), and its mask there."""
    left, top = np.floor(polygon.exterior.min(axis=0)).astype(int)
    right, bottom = np.ceil(polygon.exterior.max(axis=0)).astype(int)
    origin = np.array([left, top], dtype=np.float64)
    moved = Polygon(polygon.exterior - origin, tuple(hole - origin for hole in polygon.holes))
    mask = polygon_to_mask(moved, (int(bottom - top), int(right - left)))
    return (slice(int(top), int(bottom)), slice(int(left), int(right))), mask
