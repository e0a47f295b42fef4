"""Controls: by which control of the labelling interface a class goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.label_studio.region_types import LABELS_TYPE, REGION_TYPES, region_type_by_name
from domain.labels import Control, LabelClass, LabelGroup


def control_of(group: LabelGroup, label_class: LabelClass, *, as_pixels: bool = False) -> Control:
    """The control that a predicted region of a class goes out by.

    Of those that have the class the one on the group's image, then the first kind in
    ``REGION_TYPES`` (polygons before all), then the first of the document.

    Args:
        group: the controls.
        label_class: one of its classes.
        as_pixels: whether a brush or bitmask that has the class goes before.

    Returns:
        The control; the group's own where none has the class.
    """
    able = [control for control in group.controls if control.labels_name_of(label_class.value)]
    if not able:
        return group.control_by_name(group.from_name) or group.controls[0]
    return min(
        able,
        key=lambda control: (
            control.to_name != group.to_name,
            not (as_pixels and _is_mask(control)),
            preference(control.region_type),
        ),
    )


def ring_openers(group: LabelGroup) -> dict[Control, tuple[str, ...]]:
    """Controls that predictions go out by and whose rings the editor opens; their classes."""
    found: dict[Control, tuple[str, ...]] = {}
    for label_class in group.classes:
        control = control_of(group, label_class)
        if control.opens_rings:
            found[control] = (*found.get(control, ()), label_class.value)
    return found


def kind_of(control: Control) -> str:
    """``polygon`` for ``<Polygon>`` and ``<PolygonLabels>``."""
    region_type = region_type_by_name(control.region_type)
    return region_type.kind if region_type else control.region_type


def _is_mask(control: Control) -> bool:
    region_type = region_type_by_name(control.region_type)
    return region_type is not None and region_type.is_mask


def preference(region_type: str) -> int:
    """Place in ``REGION_TYPES``; past its end for what is not there."""
    kinds = [i for i, t in enumerate(REGION_TYPES) if region_type in (t.kind, t.labels_key)]
    return kinds[0] if kinds else len(REGION_TYPES)


Place = tuple[object, object, object, str]
"""(name of a tag, image object it is on, type of its entries, label; "" for a shape alone)."""


def places_of(group: LabelGroup) -> frozenset[Place]:
    """What entries of results the controls can show."""
    found: set[Place] = set()
    for control in group.controls:
        if control.labels_name or any(name != control.name for name, _ in control.sources):
            found.add((control.name, control.to_name, control.region_type, ""))
        everything = tuple(c.value for c in group.classes)
        for name, values in control.sources or ((control.labels_name or control.name, everything),):
            kind = control.region_type if name == control.name else LABELS_TYPE
            found.update((name, control.to_name, kind, value) for value in values)
    return frozenset(found)


def first_misplaced(
    result: Sequence[Mapping[str, Any]], places: frozenset[Place]
) -> Mapping[str, Any] | None:
    """The first entry of a prediction that no control shows; None when all have their place.

    Args:
        result: entries of Label Studio's JSON, under the names that the interface has.
        places: ``places_of`` the interface.
    """
    for entry in result:
        tag = entry.get("from_name"), entry.get("to_name"), entry.get("type")
        labels = entry.get("value", {}).get(entry.get("type")) or [""]
        if not isinstance(labels, list) or any((*tag, label) not in places for label in labels):
            return entry
    return None
