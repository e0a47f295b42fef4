"""Annotations of which not every pixel is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.painting.rasterize import polygons_to_label_map
from domain.errors import AnnotationError
from domain.geometry import LabelMap, Shape
from domain.labels import LabelGroup


def label_map_of_shapes(
    shapes: Sequence[tuple[int, Shape]],
    size_hw: tuple[int, int],
    group: LabelGroup,
    result: Sequence[object],
) -> LabelMap:
    """An annotation's shapes as a label map, labels that are no classes settled.

    Args:
        shapes: (integer of a label, shape in pixels), in painting order.
        size_hw: (height, width) of the image in pixels.
        group: The labels.
        result: Of the annotation, as Label Studio holds it.

    Returns:
        (height, width) uint8; ``group.ignore_index`` where nothing is known.
    """
    label_map = polygons_to_label_map(shapes, size_hw)
    if is_sparse(result, group):
        label_map[label_map == 0] = group.ignore_index
    if group.background_label is not None:
        label_map[label_map == group.background_label.index] = 0
    return label_map


def require_known(label_map: LabelMap, group: LabelGroup, task_id: int) -> None:
    """Refuses a label map of which no pixel is known: it can teach nothing and judge nothing.

    Raises:
        AnnotationError: Reason ``all_ignored``.
    """
    if group.has_ignore and (label_map == group.ignore_index).all():
        raise AnnotationError(
            task_id,
            "all_ignored",
            "all of its pixels are ignored, so that nothing can be learned from it.",
            remedy="Label a part of it: an object, or background by the label that is named for it "
            "(setting background_label).",
        )


def sparse_reading(group: LabelGroup) -> list[Any]:
    """What of a group decides which pixels are known, as a JSON value.

    Empty where all are, as before there was such a thing: nothing is drawn again for it.
    """
    if not group.has_ignore and group.background_label is None:
        return []
    none = (group.ignore_label, group.background_label)
    names = [None if label is None else [label.value, *label.former_values] for label in none]
    return [[*names, group.unlabelled, group.unlabelled_choice]]


def is_sparse(result: Sequence[object], group: LabelGroup) -> bool:
    """Whether the pixels that an annotation gives no label are ignored.

    Args:
        result: Of the annotation, as Label Studio holds it.
        group: Of its interface.
    """
    return group.unlabelled == "ignore" or any(is_choice(entry, group) for entry in result)


def is_choice(entry: object, group: LabelGroup) -> bool:
    """Whether an entry of a result says that unlabelled pixels are ignored."""
    choice = group.unlabelled_choice
    return bool(choice) and isinstance(entry, Mapping) and choice in _choices(entry)


def _choices(entry: Mapping[str, Any]) -> Sequence[object]:
    """What an annotator chose for the whole image; a choice for one region says nothing of it."""
    value = entry.get("value")
    found = value.get("choices") if isinstance(value, Mapping) else None
    if not isinstance(found, list) or (isinstance(value, Mapping) and len(value) > 1):
        return ()
    return found
