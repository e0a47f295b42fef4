"""Regions in pixels -> Label Studio's result JSON, in the form the labelling configuration has."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from converters.classes.colors import color_of
from converters.label_studio.best_fit import BestFit, best_disc, best_ellipse, best_rectangle
from converters.label_studio.config.controls import control_of, kind_of
from converters.label_studio.keyhole import keyhole_ring
from converters.label_studio.percent import lengths_to_percent, pixels_to_percent
from converters.label_studio.predicted import as_predicted
from converters.label_studio.region_types import LABELS_TYPE
from converters.painting.rasterize import polygon_to_mask
from domain.annotation import NOTE, OVER_BUDGET, Region, region_id
from domain.errors import LabelConfigError
from domain.geometry import Polygon
from domain.labels import Control, LabelClass, LabelConfig

Size = tuple[int, int]
Value = dict[str, Any]


def regions_to_result(
    regions: Iterable[Region],
    config: LabelConfig,
    size_hw: tuple[int, int],
    *,
    score: float | None = None,
    is_prediction: bool = True,
) -> list[dict[str, Any]]:
    """Writes regions as Label Studio reads them.

    The form is that of the control which has the class (``control_of``): polygon (holes as keyhole
    rings), brush, bitmask, vector (a closed ring), or the rectangle, ellipse or disc that fits
    best. A region whose vertex budget gave way goes out as brush or bitmask where the configuration
    has such a control for its class. Where the labels come from a ``<Labels>`` tag a region is two
    entries with one id. Polygons, brushes and bitmasks, read back, give the very same pixels.

    Args:
        regions: in painting order, in pixels. ``meta["over_budget"]`` and ``["note"]`` are
            sentences.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the image, EXIF orientation applied.
        score: in [0, 1]; stands in every entry whose region has no score of its own.
        is_prediction: the ids show later which regions a person changed; a person's own have none
            of that.

    Returns:
        The ``result`` list of a prediction or annotation; ids depend only on the content. What an
        annotator should know (``meta["note"]``, a budget that gave way, how well a box fits) is in
        ``meta.text``.

    Raises:
        KeyError: if the configuration lacks a region's class.
        LabelConfigError: if its control draws a kind of region nnloop can't write.
    """
    group = config.group
    result: list[dict[str, Any]] = []
    for region in regions:
        label_class = group.class_by_index(region.class_index)
        own_score = region.score if region.score is not None else score
        for polygon in region.polygons:
            control = control_of(group, label_class)
            notes = [region.meta[NOTE]] if NOTE in region.meta else []
            if OVER_BUDGET in region.meta:
                usual = control
                control = control_of(group, label_class, as_pixels=True)
                notes.append(
                    f"{_kind_of(control).capitalize()}: {region.meta[OVER_BUDGET]}."
                    if control is not usual
                    else f"{region.meta[OVER_BUDGET]}.".capitalize()
                )
            value, note = WRITERS[_kind_of(control)](polygon, size_hw, label_class)
            entry: dict[str, Any] = {
                "id": region_id(region.class_index, polygon, salt=len(result)),
                "to_name": control.to_name,
                "original_width": size_hw[1],
                "original_height": size_hw[0],
                "image_rotation": 0,
            }
            if own_score is not None:
                entry["score"] = float(own_score)
            notes += [note] if note else []
            if notes:
                entry["meta"] = {"text": notes}
            result += _entries(entry, control, value, label_class.value)
    return as_predicted(result) if is_prediction else result


def validate_prediction(
    config: LabelConfig, result: Sequence[dict[str, Any]], *, score: float | None = None
) -> list[str]:
    """What Label Studio would object to; it drops a bad prediction without a word.

    Args:
        config: the project's labelling configuration.
        result: the regions of the prediction.
        score: the prediction's score, which must be a number in [0, 1].

    Returns:
        One sentence per fault, empty when the prediction is sound.
    """
    prediction: dict[str, Any] = {"result": list(result)}
    if score is not None:
        prediction["score"] = score
    errors: list[str] = _interface(config.xml).validate_prediction(prediction, return_errors=True)
    return errors


def _entries(
    entry: dict[str, Any], control: Control, value: Value, label: str
) -> list[dict[str, Any]]:
    """One entry, or geometry and labels apart where the control has no labels of its own."""
    drawn = entry | {"from_name": control.name, "type": control.region_type}
    if not control.labels_name:
        return [drawn | {"value": value | {control.region_type: [label]}}]
    labels_name = control.labels_name_of(label) or control.labels_name
    labelled = entry | {"from_name": labels_name, "type": LABELS_TYPE}
    return [drawn | {"value": value}, labelled | {"value": value | {LABELS_TYPE: [label]}}]


def _kind_of(control: Control) -> str:
    kind = kind_of(control)
    if kind not in WRITERS:
        raise LabelConfigError(
            f"nnloop can't write regions of the type {control.region_type!r}.",
            remedy="Add a <PolygonLabels> control to the labelling configuration.",
        )
    return kind


def _polygon(polygon: Polygon, size_hw: Size, _: LabelClass) -> tuple[Value, str]:
    points = pixels_to_percent(keyhole_ring(polygon), size_hw)
    return {"points": points.tolist(), "closed": True}, ""


def _vector(polygon: Polygon, size_hw: Size, _: LabelClass) -> tuple[Value, str]:
    points = pixels_to_percent(keyhole_ring(polygon), size_hw).tolist()
    vertices = [
        {"x": x, "y": y, "id": f"v{i}", "isBezier": False}
        | ({"prevPointId": f"v{i - 1}"} if i else {})
        for i, (x, y) in enumerate(points)
    ]
    return {"vertices": vertices, "closed": True}, ""


def _brush(polygon: Polygon, size_hw: Size, _: LabelClass) -> tuple[Value, str]:
    from label_studio_sdk.converter.brush import mask2rle  # slow to load

    mask = polygon_to_mask(polygon, size_hw).astype(np.uint8) * 255
    return {"format": "rle", "rle": mask2rle(mask)}, ""


def _bitmask(polygon: Polygon, size_hw: Size, label_class: LabelClass) -> tuple[Value, str]:
    """An RGBA PNG of the whole image: the class's colour, opaque where the region is."""
    mask = polygon_to_mask(polygon, size_hw)
    bgra = np.zeros((*size_hw, 4), dtype=np.uint8)
    bgra[mask] = (*color_of(label_class)[::-1], 255)
    png = cv2.imencode(".png", bgra)[1].tobytes()
    return {"imageDataURL": f"data:image/png;base64,{base64.b64encode(png).decode()}"}, ""


def _rectangle(polygon: Polygon, size_hw: Size, _: LabelClass) -> tuple[Value, str]:
    fit = best_rectangle(polygon)
    x, y = lengths_to_percent(*fit.box.corner, size_hw)
    width, height = lengths_to_percent(2 * fit.box.half_width, 2 * fit.box.half_height, size_hw)
    return {"x": x, "y": y, "width": width, "height": height, "rotation": fit.box.degrees}, _fits(
        "rectangle", fit
    )


def _ellipse(polygon: Polygon, size_hw: Size, _: LabelClass) -> tuple[Value, str]:
    fit = best_ellipse(polygon)
    x, y = lengths_to_percent(fit.box.x, fit.box.y, size_hw)
    radius_x, radius_y = lengths_to_percent(fit.box.half_width, fit.box.half_height, size_hw)
    value = {"x": x, "y": y, "radiusX": radius_x, "radiusY": radius_y, "rotation": fit.box.degrees}
    return value, _fits("ellipse", fit)


def _keypoint(polygon: Polygon, size_hw: Size, _: LabelClass) -> tuple[Value, str]:
    fit = best_disc(polygon)
    x, y = lengths_to_percent(fit.box.x, fit.box.y, size_hw)
    width, _height = lengths_to_percent(2 * fit.box.half_width, 0.0, size_hw)
    return {"x": x, "y": y, "width": width}, _fits("disc", fit)


def _fits(what: str, fit: BestFit) -> str:
    return f"Best-fitting {what}: IoU {fit.iou:.3f} with the predicted outline."


WRITERS: dict[str, Callable[[Polygon, Size, LabelClass], tuple[Value, str]]] = {
    "polygon": _polygon,
    "vector": _vector,
    "brush": _brush,
    "bitmask": _bitmask,
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "keypoint": _keypoint,
}


@lru_cache(maxsize=16)
def _interface(xml: str) -> Any:
    """The SDK's parsed configuration. Imported on first use: the SDK is slow to load."""
    from label_studio_sdk.label_interface import LabelInterface

    return LabelInterface(xml)
