"""Whether two results are the same label: what was drawn, not how it is written down.

Label Studio's editor writes an annotation anew when it is saved: regions that a program made get an
``origin``, an id and the image's size where they had none, the id 5 becomes "5", 50.0 becomes 50,
masks come as other bytes with the same pixels, notes and scores may come or go. Nothing of that was
drawn by anybody. What ``read`` would read otherwise is another label.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from converters.addresses.pages import other_page
from converters.label_studio.config.shape_labels import id_of
from converters.label_studio.predicted import content_of, drawn_hw_of, is_marked
from converters.label_studio.region_types import (
    LABELS_TYPE,
    PER_REGION_KEYS,
    REGION_TYPES,
    RegionType,
    region_type_by_name,
    region_type_of_value,
)
from converters.label_studio.regions.drawn_size import drawn_sides
from converters.label_studio.regions.value import is_number
from converters.label_studio.same_shape import shape_of

_LABEL_KEYS = (LABELS_TYPE, *(kind.labels_key for kind in REGION_TYPES))
_GEOMETRY = frozenset(
    {key for kind in REGION_TYPES for key in (*kind.geometry, *kind.optional)}
    | {"closed", "format", "rotation", "brush"}
)
"""Keys of a ``value`` that entries which only say something about a region repeat."""

_SIDES = ("original_width", "original_height")
_NOT_SAID = frozenset(
    {"id", "value", "origin", "score", "meta", "readonly", "hidden", "image_rotation"}
    | {*_SIDES, "item_index"}
)
"""Keys of an entry without a shape that say nothing, or are looked at by themselves."""

_Entry = Mapping[str, Any]


def is_same_label(before: Sequence[object], after: Sequence[object]) -> bool:
    """Whether nobody has drawn, moved, relabelled, added, removed or said anything in between.

    Only how it is written may differ, and what is no part of a label: scores, notes (``meta``), and
    an ``origin`` that says that a person drew what nothing else says a model had.

    Args:
        before: Entries of a result, as Label Studio has them.
        after: The same later.
    """
    try:
        one, other = _Result(before), _Result(after)
        return (
            len(one.drawn) == len(other.drawn)
            and all(
                _is_same_region(a, b, one, other)
                for a, b in zip(one.drawn, other.drawn, strict=True)
            )
            and _is_same_said(one, other)
        )
    except RecursionError:
        return False  # nested so deep that nobody can tell


class _Result:
    """A result, by what its entries do.

    Attributes:
        ids: How often each id stands in it.
        is_ours: nnloop predicted some of it.
        drawn: What draws a shape, in the order in which that is painted.
        given: Region id -> what entries that only give a label say of it, in their order.
        said: (id, the rest as text) of all else.
    """

    def __init__(self, result: Sequence[object]) -> None:
        entries = [entry for entry in result if isinstance(entry, dict)]
        self.ids = Counter(map(id_of, entries))
        self.is_ours = any(map(is_marked, self.ids))
        self.drawn: list[_Entry] = []
        self.given: dict[str, list[str]] = {}
        self.said = Counter(("", _text(e)) for e in result if not isinstance(e, dict))
        # Only labels beside their shapes ask for it.
        has_labels = any(map(_is_label, entries))
        shapes = _shapes_by_id(e for e in entries if has_labels and not _is_label(e))
        for entry in entries:
            region_id, is_drawn = id_of(entry), _kind_of(entry) is not None
            if _is_label(entry) and region_id:
                about = [entry.get("from_name"), entry.get("to_name"), _labels_of(entry)]
                self.given.setdefault(region_id, []).append(_text(about))
                # It repeats the shape that it is of. Without that it is one itself.
                if region_id in shapes and (not is_drawn or _shape_of(entry) in shapes[region_id]):
                    continue
            if is_drawn:
                self.drawn.append(entry)
            else:
                self.said[region_id, _said_by(entry)] += 1

    def labels_of(self, region_id: str) -> list[str]:
        """What other entries say its labels are, each once."""
        return list(dict.fromkeys(self.given.get(region_id, ())))


def _is_same_region(before: _Entry, after: _Entry, one: _Result, other: _Result) -> bool:
    old, new = id_of(before), id_of(after)
    return (
        (old == new or (not old and _is_made_up(new, one, other)))
        and _is_left(before, one) == _is_left(after, other)
        and _about(before) == _about(after)
        and one.labels_of(old) == other.labels_of(new)
        and _is_same_size(before, after)
        and _shape_of(before) == _shape_of(after)
    )


def _is_same_said(one: _Result, other: _Result) -> bool:
    gone, new = one.said - other.said, other.said - one.said
    return (
        not any(old for old, _ in gone)
        and all(_is_made_up(region_id, one, other) for region_id, _ in new)
        and Counter(text for _, text in gone.elements())
        == Counter(text for _, text in new.elements())
    )


def _is_made_up(region_id: str, one: _Result, other: _Result) -> bool:
    """Whether an id may be what the editor gave to an entry without one: it means nothing."""
    return region_id not in one.ids and other.ids[region_id] == 1 and not is_marked(region_id)


def _is_left(entry: _Entry, result: _Result) -> bool:
    """Whether its origin makes it a model's; ``Hands`` asks for that where nnloop drew nothing.

    Without an origin, and with that of a hand, it is a person's.
    """
    return entry.get("origin") == "prediction" and not result.is_ours


def _is_same_size(before: _Entry, after: _Entry) -> bool:
    """Whether both were drawn on images of one size.

    The editor writes that of the image it shows where it was not said. Shapes are in percent of it;
    masks need not be of that size.
    """
    old, new = drawn_sides(before), drawn_sides(after)
    kind = _kind_of(after)
    if old is None and new is not None and kind is not None and not kind.is_mask:
        return all(is_number(side) and side >= 1 for side in new)
    return _text(old) == _text(new)


def _about(entry: _Entry) -> str:
    """What of a region shapes how it is read, beside its shape and what other entries say."""
    value = entry["value"]
    names = {key: entry[key] for key in ("from_name", "to_name", "type") if key in entry}
    said = {key: value[key] for key in PER_REGION_KEYS if key in value}
    is_prompt = entry.get("is_positive") is False
    return _text([names, other_page(entry, ""), is_prompt, _labels_of(entry), said])


def _said_by(entry: _Entry) -> str:
    value = entry.get("value")
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if k not in _GEOMETRY}
    # What nobody knows the meaning of is not taken for a way of writing.
    rest = {k: v for k, v in entry.items() if k not in _NOT_SAID}
    return _text([rest, other_page(entry, ""), value])


def _is_label(entry: _Entry) -> bool:
    """Whether it only gives a label, to the shape with its id."""
    return bool(entry.get("type") == LABELS_TYPE)


def _kind_of(entry: _Entry) -> RegionType | None:
    """What an entry draws. A choice or a text about a region repeats its place, and draws nothing.

    A label's is what it draws where no shape has its id.
    """
    value, name = entry.get("value"), entry.get("type")
    if not isinstance(value, dict):
        return None
    if name is None or name == LABELS_TYPE:
        return region_type_of_value(value)
    return region_type_by_name(name)


def _shapes_by_id(entries: Iterable[_Entry]) -> dict[str, list[str]]:
    shapes: dict[str, list[str]] = {}
    for entry in entries:
        if _kind_of(entry) is not None:
            shapes.setdefault(id_of(entry), []).append(_shape_of(entry))
    return shapes


def _shape_of(entry: _Entry) -> str:
    """Equal for what is read alike; what can't be read is the same only as it stands."""
    kind, value = _kind_of(entry), entry["value"]
    assert kind is not None  # noqa: S101 - asked before
    is_ours, drawn_hw = is_marked(id_of(entry)), drawn_hw_of(entry)
    # nnloop's vectors are rings: the editor opens them.
    found = shape_of(kind, value, drawn_hw, is_ring=is_ours)
    if found is not None and is_ours:
        found = [found, content_of(kind, value, drawn_hw)]  # by which its id fits, or not
    return _text(
        {k: v for k, v in value.items() if k not in _LABEL_KEYS} if found is None else found
    )


def _labels_of(entry: _Entry) -> list[Any]:
    value = entry.get("value")
    if not isinstance(value, dict):
        return []
    return [[key, value[key]] for key in _LABEL_KEYS if key in value]


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
