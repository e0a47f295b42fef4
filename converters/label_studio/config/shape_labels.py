"""Which label counts where a shape has several: of ``<Labels>`` beside it, of several controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from converters.label_studio.region_types import LABELS_TYPE, region_type_of_value
from domain.labels import Control, LabelGroup

GivenLabels = tuple[str, object]
"""(name of the control, what it gives: a list of label names, or whatever stands there)."""


def labels_by_id(
    result: Sequence[object],
    is_label: Callable[[Mapping[str, Any]], bool],
) -> dict[str, list[GivenLabels]]:
    """Region id -> what the entries that only give labels say of it, in their order."""
    found: dict[str, list[GivenLabels]] = {}
    for entry in result:
        if isinstance(entry, dict) and id_of(entry) and is_label(entry):
            value = entry.get("value")
            if isinstance(value, dict):
                name = entry.get("from_name")
                given = (name if isinstance(name, str) else "", value.get(LABELS_TYPE, []))
                found.setdefault(id_of(entry), []).append(given)
    return found


def label_names(given: Iterable[GivenLabels], control: Control, group: LabelGroup) -> list[Any]:
    """The labels of a shape, the one that counts first, in whatever order they stand in the result.

    The ``<Labels>`` that stands first in the configuration goes first, then the others in the
    order of their classes. What is no list of names comes as it is.

    Args:
        given: What the entries with the shape's id give it.
        control: The shape's.
        group: Its classes are numbered in the order of the configuration.
    """

    def rank(one: GivenLabels) -> tuple[bool, int]:
        names = one[1] if isinstance(one[1], list) else []
        classes = [group.class_by_value(name) for name in names if isinstance(name, str)]
        indices = [found.index for found in classes if found is not None]
        return one[0] != control.labels_name, min(indices, default=len(group.classes) + 1)

    names: list[Any] = []
    for _, labels in sorted(given, key=rank):
        for label in labels if isinstance(labels, list) else [labels]:
            if label not in names:
                names.append(label)
    return names


def in_control_order(result: Sequence[object], group: LabelGroup) -> list[object]:
    """A result in which the label of a shape that counts comes before its others.

    A shape that several controls gave labels stands there once per control, with one id. The
    control that stands first in the configuration counts, wherever its entry stands: the two
    change places.

    Args:
        result: Of an annotation.
        group: Its controls are in the order of the configuration.
    """
    ranks = {c.name: i for i, c in enumerate(group.controls) if not c.labels_name}
    ordered = list(result)
    shapes: dict[str, list[tuple[dict[str, Any], list[tuple[int, int]]]]] = {}
    for position, entry in enumerate(result):
        if not isinstance(entry, dict) or not id_of(entry):
            continue
        name, value = entry.get("from_name"), entry.get("value")
        kind = region_type_of_value(value) if isinstance(value, dict) else None
        if not isinstance(value, dict) or kind is None or not isinstance(name, str):
            continue
        if name not in ranks:
            continue
        drawn, place = shapes.setdefault(id_of(entry), []), kind.place(value)
        same = next((ranked for found, ranked in drawn if found == place), None)
        if same is None:
            drawn.append((place, [(ranks[name], position)]))
        else:
            same.append((ranks[name], position))
    for drawn in shapes.values():
        for _, ranked in drawn:
            for (_, position), (_, source) in zip(ranked, sorted(ranked), strict=True):
                ordered[position] = result[source]
    return ordered


def id_of(entry: Mapping[str, Any]) -> str:
    """The region's id; "" for none, and for what can't be one."""
    found = entry.get("id")
    if isinstance(found, int) and abs(found) < 10**30:
        return str(found)
    return found if isinstance(found, str) else ""
