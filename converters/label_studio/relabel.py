"""Label names in Label Studio's result JSON: which there are, and the same under other names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from converters.label_studio.region_types import LABELS_TYPE, REGION_TYPES
from domain.labels import LabelGroup

_LABEL_KEYS = frozenset({LABELS_TYPE, *(kind.labels_key for kind in REGION_TYPES)})

Rename = Callable[[str], str | None]
"""A label's name -> its name now; None where there is none."""


def label_names(result: Sequence[Any], group: LabelGroup) -> set[str]:
    """The label names that the entries of a group's controls use."""
    return {name for _, _, names in _label_lists(result, group) for name in names}


def relabelled(
    result: Sequence[Any], group: LabelGroup, rename: Rename
) -> tuple[list[Any], tuple[str, ...]]:
    """A result with other label names; nothing else in it changes.

    Args:
        result: Entries of Label Studio's JSON; not changed.
        group: Only entries of its controls are looked at.
        rename: Says the new name.

    Returns:
        The new result (entries that stay are the same objects), and the names that have none, each
        once; they stay as they are.
    """
    changed = list(result)
    lost: dict[str, None] = {}
    for position, key, names in _label_lists(result, group):
        now = [rename(name) for name in names]
        lost.update(dict.fromkeys(old for old, new in zip(names, now, strict=True) if new is None))
        renamed = [old if new is None else new for old, new in zip(names, now, strict=True)]
        if renamed != names:
            entry = changed[position]
            changed[position] = {**entry, "value": {**entry["value"], key: renamed}}
    return changed, tuple(lost)


def in_present_names(result: Sequence[Any], group: LabelGroup) -> tuple[list[Any], tuple[str, ...]]:
    """A result under the names that the interface has, and the names it lacks, each once.

    Regions of names that a person dropped go, and those of labels that are no classes any more:
    what is ignored, or background by name, is nothing to be predicted.
    """

    def is_dropped(name: str) -> bool:
        found = group.class_by_value(name)
        return name in group.dropped_values or (found is not None and found not in group.classes)

    dropped = {
        _id_of(result[position])
        for position, _, names in _label_lists(result, group)
        if names and all(map(is_dropped, names))
    }
    # Where the labels come from a <Labels> tag a region is two entries with one id.
    kept = [entry for entry in result if not dropped or _id_of(entry) not in dropped]

    def rename(name: str) -> str | None:
        found = group.class_by_value(name)
        return found.value if found else None

    return relabelled(kept, group, rename)


def _id_of(entry: Any) -> object:
    """An entry's id; itself by identity where it has none that can be compared."""
    found = entry.get("id") if isinstance(entry, Mapping) else None
    return found if isinstance(found, str | int) else ("", id(entry))


def _label_lists(result: Sequence[Any], group: LabelGroup) -> Iterator[tuple[int, str, list[str]]]:
    """(position, key of the value, its label names) of the entries of a group's controls."""
    controls = {c.name for c in group.controls} | {c.labels_name for c in group.controls}
    has_labels_tag = any(c.labels_name for c in group.controls)
    for position, entry in enumerate(result):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("from_name"), str):
            continue
        # Of several <Labels> on the image a control names one.
        is_label = has_labels_tag and entry.get("type") == LABELS_TYPE
        value = entry.get("value")
        if not isinstance(value, Mapping) or not (
            entry["from_name"] in controls or (is_label and entry.get("to_name") in group.to_names)
        ):
            continue
        for key in _LABEL_KEYS.intersection(value):
            names = value[key]
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                yield position, key, names
