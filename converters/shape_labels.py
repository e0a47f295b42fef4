"""Which label a shape has where labels stand beside shapes: ``<Labels>`` with ``<Polygon>``, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from converters.region_types import LABELS_TYPE
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


def id_of(entry: Mapping[str, Any]) -> str:
    """The region's id; "" for none, and for what can't be one."""
    found = entry.get("id")
    if isinstance(found, int) and abs(found) < 10**30:
        return str(found)
    return found if isinstance(found, str) else ""
