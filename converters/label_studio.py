"""Label Studio's result JSON <-> shapes in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from converters.keyhole import keyhole_ring
from converters.percent import percent_to_pixels, pixels_to_percent
from converters.rasterize import polygons_to_label_map
from converters.vectorize import region_id
from domain.annotation import Annotation, LeftOut, Region
from domain.errors import AnnotationError
from domain.geometry import LabelMap, Polygon, Ring
from domain.labels import LabelConfig

Shapes = tuple[tuple[int, Polygon], ...]
"""(class integer, polygon in pixels), in painting order."""

_ASPECT_TOLERANCE = math.log(1.02)
"""Sides are rounded to whole pixels when an image is scaled, so ratios agree only nearly."""

_LARGEST_NUMBER = 1e9
"""Larger percentages or image sizes are no drawing's."""


def annotation_to_label_map(
    annotation: Annotation, config: LabelConfig, size_hw: tuple[int, int]
) -> tuple[LabelMap, tuple[LeftOut, ...]]:
    """Paints an annotation; later regions paint over earlier ones.

    Args:
        annotation: as Label Studio holds it; an empty result is a map of background.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the real image, EXIF orientation applied.

    Returns:
        (height, width) uint8 label map, and the regions that were not used.

    Raises:
        AnnotationError: as ``annotation_to_shapes``.
    """
    shapes, left_out = annotation_to_shapes(annotation, config, size_hw)
    return polygons_to_label_map(shapes, size_hw), left_out


def annotation_to_shapes(
    annotation: Annotation, config: LabelConfig, size_hw: tuple[int, int]
) -> tuple[Shapes, tuple[LeftOut, ...]]:
    """Reads the polygons of an annotation.

    Percentages are taken of ``size_hw``, whatever size the region names: they scale with the image.
    Points are clipped to the image. ``image_rotation`` is a view setting and moves nothing. A
    keyhole ring stays one ring; the even-odd rule leaves its hole open.

    Args:
        annotation: as Label Studio holds it.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the real image, EXIF orientation applied.

    Returns:
        The shapes in painting order, and what was left out: reasons ``other_control``,
        ``degenerate_polygon``, ``extra_label``.

    Raises:
        AnnotationError: reason ``skipped`` (the annotator declined), ``unknown_label`` (the
            configuration lacks it, or the region has none), ``size_mismatch`` (the region was drawn
            on the image turned by 90 degrees), ``malformed_region``.
    """
    if annotation.was_cancelled:
        raise AnnotationError(
            annotation.task_id,
            "skipped",
            f"annotation {annotation.id} is a skip and says nothing about the image.",
            remedy="Leave skipped tasks out.",
        )
    shapes: list[tuple[int, Polygon]] = []
    left_out: list[LeftOut] = []
    for position, region in enumerate(annotation.result):
        reader = _RegionReader(annotation, config, size_hw, position, region)
        shape, notes = reader.read()
        left_out.extend(notes)
        if shape is not None:
            shapes.append(shape)
    return tuple(shapes), tuple(left_out)


class _RegionReader:
    """Reads one entry of a result, and says in its errors which one it is."""

    def __init__(
        self,
        annotation: Annotation,
        config: LabelConfig,
        size_hw: tuple[int, int],
        position: int,
        region: object,
    ) -> None:
        self._task_id = annotation.task_id
        self._annotation_id = annotation.id
        self._group = config.group
        self._size_hw = size_hw
        self._position = position
        if not isinstance(region, dict):
            self._name = f"number {position + 1}"
            raise self._malformed(f"is no object but {type(region).__name__}")
        self._region: dict[str, Any] = region
        self._region_id = str(region.get("id", ""))
        self._name = repr(self._region_id) if self._region_id else f"number {position + 1}"

    def read(self) -> tuple[tuple[int, Polygon] | None, list[LeftOut]]:
        if self._region.get("from_name") != self._group.from_name:
            kind = self._region.get("from_name") or self._region.get("type")
            return None, [
                self._left_out(
                    "other_control",
                    f"belongs to {kind!r}; nnloop trains on {self._group.from_name!r}",
                )
            ]
        if self._region.get("type") not in (self._group.region_type, "polygon"):
            raise self._malformed(
                f"has the type {self._region.get('type')!r}, not {self._group.region_type!r}"
            )
        value = self._region.get("value")
        if not isinstance(value, dict):
            raise self._malformed("has no value object")
        class_index, notes = self._class_of(value)
        self._check_turned()
        ring = percent_to_pixels(self._points_of(value), self._size_hw)
        if _is_degenerate(ring):
            notes.append(
                self._left_out("degenerate_polygon", f"has {len(ring)} points and no area")
            )
            return None, notes
        return (class_index, Polygon(ring)), notes

    def _class_of(self, value: dict[str, Any]) -> tuple[int, list[LeftOut]]:
        labels = value.get(self._group.region_type, [])
        if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
            raise self._malformed(f"has labels that are no list of names: {labels!r}")
        known = ", ".join(repr(c.value) for c in self._group.classes)
        if not labels:
            raise self._error(
                "unknown_label", "has no label", f"Give it one of {known}, or delete it."
            )
        label_class = self._group.class_by_value(labels[0])
        if label_class is None:
            # Left out, it would teach background where the annotator drew something.
            raise self._error(
                "unknown_label",
                f"has the label {labels[0]!r}, which the labelling configuration lacks",
                f"Relabel the region with one of {known}, or put the label back.",
            )
        notes = []
        if len(labels) > 1:
            extra = ", ".join(repr(x) for x in labels[1:])
            notes.append(
                self._left_out("extra_label", f"counts as {labels[0]!r}; ignored were {extra}")
            )
        return label_class.index, notes

    def _points_of(self, value: dict[str, Any]) -> Ring:
        points = value.get("points")
        if not isinstance(points, list) or not all(
            isinstance(point, list | tuple) and len(point) == 2 and all(map(_is_number, point))
            for point in points
        ):
            raise self._malformed("has points that are no list of number pairs")
        return np.array(points, dtype=np.float64).reshape(-1, 2)

    def _check_turned(self) -> None:
        drawn_w, drawn_h = self._region.get("original_width"), self._region.get("original_height")
        if drawn_w is None or drawn_h is None:
            return
        if not (_is_number(drawn_w) and _is_number(drawn_h) and drawn_w > 0 and drawn_h > 0):
            raise self._malformed(f"was drawn on an image of size {drawn_w!r} x {drawn_h!r}")
        height, width = self._size_hw
        drawn, real = math.log(drawn_w / drawn_h), math.log(width / height)
        if abs(drawn + real) <= _ASPECT_TOLERANCE < abs(drawn - real):
            raise self._error(
                "size_mismatch",
                f"was drawn on an image of {drawn_w} x {drawn_h} pixels, but the image now is "
                f"{width} x {height}",
                "The image seems to have been turned since; put back the one that was annotated.",
            )

    def _left_out(self, reason: str, what: str) -> LeftOut:
        return LeftOut(
            task_id=self._task_id,
            reason=reason,
            message=f"Region {self._name} of annotation {self._annotation_id} {what}.",
            region_id=self._region_id,
        )

    def _malformed(self, what: str) -> AnnotationError:
        return self._error("malformed_region", what, "Correct or delete it in Label Studio.")

    def _error(self, reason: str, what: str, remedy: str) -> AnnotationError:
        return AnnotationError(
            self._task_id,
            reason,
            f"region {self._name} of annotation {self._annotation_id} {what}.",
            remedy=remedy,
        )


def _is_number(value: object) -> bool:
    """A number of sane size: no bool, no NaN, no infinity, no integer too large for a float."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
    )


def _is_degenerate(ring: Ring) -> bool:
    """Fewer than three distinct points, or all on one line."""
    distinct = np.unique(ring, axis=0)
    if len(distinct) < 3:
        return True
    centred = distinct - distinct.mean(axis=0)
    return bool(np.linalg.matrix_rank(centred, tol=1e-6) < 2)


def regions_to_result(
    regions: Iterable[Region],
    config: LabelConfig,
    size_hw: tuple[int, int],
    *,
    score: float | None = None,
) -> list[dict[str, Any]]:
    """Writes regions as Label Studio reads them.

    Label Studio has one ring per region: holes become a keyhole ring, and each polygon of a region
    an entry of its own. Read back, the entries give the very same pixels.

    Args:
        regions: in painting order, in pixels.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the image, EXIF orientation applied.
        score: in [0, 1]; stands in every entry whose region has no score of its own.

    Returns:
        The ``result`` list of a prediction or annotation; ids depend only on the content.

    Raises:
        KeyError: if the configuration lacks a region's class.
    """
    group = config.group
    height, width = size_hw
    result: list[dict[str, Any]] = []
    for region in regions:
        for polygon in region.polygons:
            points = pixels_to_percent(keyhole_ring(polygon), size_hw)
            entry: dict[str, Any] = {
                "id": region_id(region.class_index, polygon, salt=len(result)),
                "from_name": group.from_name,
                "to_name": group.to_name,
                "type": group.region_type,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "points": points.tolist(),
                    "closed": True,
                    group.region_type: [group.class_by_index(region.class_index).value],
                },
            }
            own_score = region.score if region.score is not None else score
            if own_score is not None:
                entry["score"] = float(own_score)
            result.append(entry)
    return result


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


@lru_cache(maxsize=16)
def _interface(xml: str) -> Any:
    """The SDK's parsed configuration. Imported on first use: the SDK is slow to load."""
    from label_studio_sdk.label_interface import LabelInterface

    return LabelInterface(xml)
