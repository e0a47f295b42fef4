"""Label map or probabilities -> regions: one per connected part, holes and small parts kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from converters.outlines.arcs import Borders, Probabilities, borders_of
from converters.outlines.drafts import Outline
from converters.outlines.limits import Simplification
from converters.outlines.simplifying import simplified
from domain.annotation import OVER_BUDGET, Region, region_id
from domain.geometry import LabelMap
from domain.prediction import most_probable

_DEFAULT = Simplification()


def vectorize(
    image: LabelMap | npt.NDArray[np.float32],
    class_indices: Iterable[int],
    *,
    tolerance_px: float = _DEFAULT.tolerance_px,
    iou_target: float = _DEFAULT.iou_target,
    iou_floor: float = _DEFAULT.iou_floor,
    vertex_budget: int = _DEFAULT.vertex_budget,
    min_area_px: int = 0,
) -> tuple[Region, ...]:
    """Draws around every connected part (pixels that share a side) of every class.

    Neighbouring parts share one border: between their polygons there is neither gap nor overlap.
    With ``tolerance_px=0`` painting the regions gives the label map back pixel by pixel.

    Args:
        image: (height, width) uint8 label map, or (class, height, width) float32 probabilities in
            [0, 1] with background as class 0. Of probabilities the most probable class is drawn,
            with sub-pixel borders where the two neighbours are equally probable.
        class_indices: the classes to draw, in this order; others count as background.
        tolerance_px: see Simplification, as the next three.
        iou_target: see Simplification.
        iou_floor: see Simplification.
        vertex_budget: see Simplification.
        min_area_px: parts of fewer pixels are dropped (they become background); 0 keeps all.

    Returns:
        One region per part: an exterior with its holes. Its score is the class's mean probability
        over the part's pixels, or None for a label map. ``meta`` holds ``iou`` (overlap of the
        drawn pixels with the part's, 0..1) and, where the budget gave way, ``over_budget``: a
        sentence. The same input gives the same regions and ids.

    Raises:
        ValueError: for an array that is neither, or a limit out of range.
    """
    how = Simplification(tolerance_px, iou_target, iou_floor, vertex_budget)
    if image.ndim == 3:
        probabilities: Probabilities = image.astype(np.float32, copy=False)
        label_map = most_probable(probabilities)
        borders = borders_of(
            label_map, class_indices, probabilities=probabilities, min_area_px=min_area_px
        )
        return _regions(borders, how, probabilities)
    if image.ndim != 2:
        raise ValueError(f"A map has 2 dimensions, probabilities have 3; got {image.ndim}.")
    borders = borders_of(image.astype(np.uint8, copy=False), class_indices, min_area_px=min_area_px)
    return _regions(borders, how, None)


def inner_last(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Regions that don't overlap, an inner one after the one around it.

    Its outline then lies on top in an editor, and when somebody enlarges it. Larger convex hulls
    come first, since what is open to one side lies around what it clasps, too; equals stay.
    """
    return tuple(sorted(regions, key=_hull_area_px2, reverse=True))


def _regions(
    borders: Borders, how: Simplification, probabilities: Probabilities | None
) -> tuple[Region, ...]:
    regions = []
    for part, outline in zip(borders.parts, simplified(borders, how), strict=True):
        score = None
        if probabilities is not None:
            own = probabilities[part.class_index][part.window]
            score = float(own[part.pixels].mean(dtype=np.float64))
        regions.append(
            Region(
                id=region_id(part.class_index, outline.polygon),
                class_index=part.class_index,
                polygons=(outline.polygon,),
                score=score,
                meta=_meta(outline, how),
            )
        )
    return tuple(regions)


def _meta(outline: Outline, how: Simplification) -> dict[str, Any]:
    meta: dict[str, Any] = {"iou": round(outline.iou, 4)}
    n_vertices = outline.polygon.n_vertices
    if n_vertices > how.vertex_budget and how.tolerance_px > 0:
        meta[OVER_BUDGET] = (
            f"{n_vertices} points instead of {how.vertex_budget}, so that it keeps "
            f"{how.iou_floor:.0%} of its pixels, its holes and the borders it shares"
        )
    return meta


def _hull_area_px2(region: Region) -> float:
    hull = cv2.convexHull(region.polygons[0].exterior.astype(np.float32))
    return float(cv2.contourArea(hull))
