"""Annotations of which nothing is left: never taken for empty ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from converters.addresses.pages import OTHER_PAGE
from converters.label_studio.region_types import (
    PER_REGION_KEYS,
    region_type_by_name,
    region_type_of_value,
)
from domain.annotation import Annotation, LeftOut
from domain.errors import AnnotationError
from domain.labels import LabelConfig

UNKNOWN_CONTROL = "unknown_control"
"""Reason of a region whose control the labelling interface lacks."""

LOST = frozenset(
    {"degenerate_polygon", "empty_region", "outside_image", "no_shape", UNKNOWN_CONTROL}
    | {"other_image", "negative_prompt"}
)
"""Reasons for which a region becomes nothing though a person drew something."""

_REMEDIES = {
    UNKNOWN_CONTROL: "Give the labelling interface that the regions were drawn with.",
    "other_image": "Name the image to train on, or label it too.",
}


def is_drawn(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a result draws a region on an image, by its type or its value."""
    if entry.get("type") is not None:
        return region_type_by_name(entry["type"]) is not None
    value = entry.get("value")  # JSON_MIN drops the type
    return (
        isinstance(value, dict)
        and region_type_of_value(value) is not None
        and (not value.keys() & PER_REGION_KEYS or any(k.endswith("labels") for k in value))
    )


def reason_of_other(entry: Mapping[str, Any], config: LabelConfig) -> str:
    """Why an entry of none of the trained controls does not count.

    A region of a control that the interface has and that gives no class (a bare ``<Rectangle>``)
    is no label. One whose control the interface lacks was drawn with another interface.

    Args:
        entry: Of a result.
        config: The labelling interface.
    """
    name = entry.get("from_name")
    if not is_drawn(entry):
        return "other_control"
    image = _images_of_controls(config.xml).get(name) if isinstance(name, str) else None
    if image is None:
        return UNKNOWN_CONTROL
    is_other = image in config.image_names and image not in config.group.to_names
    return "other_image" if is_other else "other_control"


@lru_cache(maxsize=16)
def _images_of_controls(xml: str) -> dict[str, str]:
    """Name of a control -> the object it points to."""
    try:
        root = ElementTree.fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return {}
    return {tag.get("name", ""): tag.get("toName", "") for tag in root.iter() if tag.get("toName")}


def require_some(
    annotation: Annotation, shapes: Sequence[object], notes: Sequence[LeftOut]
) -> None:
    """Refuses an annotation whose regions all became nothing.

    Empty, it would teach background where a person drew something.

    Args:
        annotation: What was read.
        shapes: What its regions became.
        notes: What was left out of it, and why.

    Raises:
        AnnotationError: Reason ``regions_lost``.
    """
    lost = next((note for note in notes if note.reason in LOST), None)
    if shapes or lost is None:
        return
    raise AnnotationError(
        annotation.task_id,
        "regions_lost",
        f"annotation {annotation.id} has regions, but none that covers a pixel: "
        f"{lost.message[:1].lower()}{lost.message[1:]}",
        remedy=_REMEDIES.get(
            lost.reason, "Draw them again; if nothing is to be seen, delete them and submit."
        ),
    )


def require_first_page(
    annotation: Annotation, shapes: Sequence[object], notes: Sequence[LeftOut]
) -> None:
    """Refuses an annotation whose regions all lie on other pages: nothing is known of the first.

    Raises:
        AnnotationError: Reason ``other_page``.
    """
    if shapes or not any(note.reason == OTHER_PAGE for note in notes):
        return
    raise AnnotationError(
        annotation.task_id,
        OTHER_PAGE,
        f"all regions of annotation {annotation.id} lie on other pages than the first.",
        remedy="Make a task of each page. (JSON_MIN loses the pages: export as JSON.)",
    )
