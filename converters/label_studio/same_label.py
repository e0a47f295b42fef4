"""Whether two results are the same label: what was drawn, not how it is written down.

Label Studio's editor writes an annotation anew when it is saved: regions that a program made get an
``origin``, 50.0 becomes 50, masks come as other bytes with the same pixels, notes and scores may
come or go. Nothing of that was drawn by anybody.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from converters.label_studio.predicted import content_of, drawn_hw_of, kind_of
from converters.label_studio.region_types import LABELS_TYPE, REGION_TYPES

_LABEL_KEYS = (LABELS_TYPE, *(kind.labels_key for kind in REGION_TYPES))
_GEOMETRY = frozenset(
    {key for kind in REGION_TYPES for key in (*kind.geometry, *kind.optional)}
    | {"closed", "format", "rotation", "brush"}
)
"""Keys of a ``value`` that entries which only say something about a region repeat."""

_NOT_OF_A_LABEL = frozenset(
    {"value", "origin", "score", "meta", "readonly", "hidden", "image_rotation"}
)
"""Keys of an entry without a shape that say nothing, or are looked at by themselves."""

_SAID_OF_REGION = ("from_name", "to_name", "type", "item_index", "is_positive")


def is_same_label(before: Sequence[object], after: Sequence[object]) -> bool:
    """Whether nobody has drawn, moved, relabelled, added, removed or said anything in between.

    Only how it is written may differ, and what is no part of a label: scores, notes (``meta``), and
    an ``origin`` that says that a person drew what nothing else says a model had.

    Args:
        before: Entries of a result, as Label Studio has them.
        after: The same later.
    """
    return _drawn(before) == _drawn(after) and _said(before) == _said(after)


def _drawn(result: Sequence[object]) -> list[str]:
    """The shapes, in the order in which they paint."""
    labels = _labels_by_id(result)
    return [
        _text([_about(entry), _shape(entry), labels.get(_id_of(entry)) or _labels_of(entry)])
        for entry in result
        if isinstance(entry, dict) and kind_of(entry) is not None
    ]


def _said(result: Sequence[object]) -> Counter[str]:
    """All else, in whatever order; labels of shapes are with these."""
    drawn = {_id_of(e) for e in result if isinstance(e, dict) and kind_of(e) is not None} - {""}
    found: Counter[str] = Counter()
    for entry in result:
        if not isinstance(entry, dict):
            found[_text(entry)] += 1
        elif kind_of(entry) is None and not (
            entry.get("type") == LABELS_TYPE and _id_of(entry) in drawn
        ):
            value = entry.get("value")
            if isinstance(value, dict):
                value = {k: v for k, v in value.items() if k not in _GEOMETRY}
            # What nobody knows the meaning of is not taken for a way of writing.
            rest = {k: v for k, v in entry.items() if k not in _NOT_OF_A_LABEL}
            found[_text([rest, value])] += 1
    return found


def _about(entry: Mapping[str, Any]) -> list[Any]:
    """What of a region shapes how it is read, beside its shape and its labels."""
    sides = [entry.get("original_width"), entry.get("original_height")]
    # Without an origin, and with that of a hand, it is a person's.
    is_left = entry.get("origin") == "prediction"
    return [_id_of(entry), is_left, sides, [entry.get(key) for key in _SAID_OF_REGION]]


def _shape(entry: Mapping[str, Any]) -> Any:
    kind = kind_of(entry)
    assert kind is not None  # noqa: S101 - asked before
    value = entry["value"]
    content = content_of(kind, value, drawn_hw_of(entry))
    if content is None:
        return {k: v for k, v in value.items() if k not in _LABEL_KEYS}
    # An open line is no ring; of polygons it says nothing.
    return [content, kind.kind == "vector" and bool(value.get("closed"))]


def _labels_by_id(result: Sequence[object]) -> dict[str, list[str]]:
    """What all entries with an id say its labels are."""
    found: dict[str, list[str]] = {}
    for entry in result:
        if isinstance(entry, dict) and (region_id := _id_of(entry)):
            found.setdefault(region_id, []).extend(_labels_of(entry))
    return {region_id: sorted(set(labels)) for region_id, labels in found.items()}


def _labels_of(entry: Mapping[str, Any]) -> list[str]:
    value = entry.get("value")
    if not isinstance(value, dict):
        return []
    return [_text([key, value[key]]) for key in _LABEL_KEYS if key in value]


def _id_of(entry: Mapping[str, Any]) -> str:
    """An id decides whether a region counts as predicted: "" for one that is of no importance."""
    found = entry.get("id")
    return found if isinstance(found, str) else ""


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    """JSON as browsers write it: 50.0 is 50."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
