"""Predicted regions: which regions of an annotation are still as a model drew them.

Label Studio's ``origin`` can't tell: in 1.23.2 polygons and vectors keep ``prediction`` whatever is
done to their points, and a rectangle gets it back with the first undo. So the id of a predicted
region is made from its content: it no longer fits once the label or a point was changed, wherever
the annotation is read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from converters.label_studio.config.shape_labels import id_of
from converters.label_studio.region_types import (
    LABELS_TYPE,
    RegionType,
    region_type_by_name,
    region_type_of_value,
)
from converters.label_studio.regions import READERS, RegionError, Where
from converters.label_studio.regions.drawn_size import drawn_sides
from converters.label_studio.regions.value import is_number
from converters.painting.rasterize import shape_to_mask

ID_PREFIX = "nnloop-"
"""How the ids of predicted regions begin; the digest of their content follows."""

_MARKED = re.compile(rf"({ID_PREFIX}[0-9a-f]{{10}})(?:-\d+)?")
_PER_PERCENT = 1e6
_OFFSET = 0.28179
"""Percentages count to a millionth. The grid is moved by a number that is no fraction of two, so
that positions on whole or half pixels lie well inside a cell and noise in the last bit is none."""

_VERTEX_KEYS = ("x", "y", "isBezier", "controlPoint1", "controlPoint2")

Result = Sequence[Mapping[str, Any]]


def as_predicted(result: Result) -> list[dict[str, Any]]:
    """The regions with ids made from their content, for a prediction.

    Args:
        result: Label Studio's JSON; entries with one id (a shape and its label) keep one id, those
            without get one each. No entry is changed in anything but its id; relations and the like
            stay as they are.

    Returns:
        New entries in the same order; the same result gives the same ids.
    """
    labels = labels_by_id(result)
    names = [id_of(entry) or position for position, entry in enumerate(result)]
    ids: dict[object, str] = {}
    taken: set[str] = set()
    for entry, name in zip(result, names, strict=True):
        kind = kind_of(entry)
        if kind is None or name in ids:
            continue
        label = labels[id_of(entry)] if id_of(entry) else label_of(entry)
        mark = _mark(label, content_of(kind, entry["value"], drawn_hw_of(entry)))
        if mark:
            new, nth = mark, 1
            while new in taken:
                nth += 1
                new = f"{mark}-{nth}"
            taken.add(new)
            ids[name] = new
    return [{**entry, "id": ids[name]} if name in ids else dict(entry)
            for entry, name in zip(result, names, strict=True)]  # fmt: skip


def is_marked(region_id: str) -> bool:
    """Whether a region with this id was predicted by nnloop, changed since or not."""
    return _MARKED.fullmatch(region_id) is not None


def needs_predictions(result: Sequence[object]) -> bool:
    """Whether only the predictions themselves tell which regions of an annotation were changed."""
    return any(
        isinstance(entry, dict)
        and entry.get("origin", "prediction") == "prediction"
        and not (isinstance(entry.get("id"), str) and is_marked(entry["id"]))
        for entry in result
    )


class Hands:
    """Tells a person's regions of one annotation from those left as they were predicted.

    Args:
        result: the annotation's entries.
        predicted: entries of the predictions known for its task, for regions whose id is not made
            from their content.
    """

    def __init__(self, result: Sequence[object], predicted: Result = ()) -> None:
        self._predicted: dict[object, list[Mapping[str, Any]]] = {}
        for entry in predicted:
            if isinstance(entry.get("id"), str) and entry["id"]:
                self._predicted.setdefault(entry["id"], []).append(entry)
        found = (entry.get("id") for entry in result if isinstance(entry, dict))
        ids = {i for i in found if isinstance(i, str)}
        self._is_of_known = any(is_marked(i) or i in self._predicted for i in ids)

    def is_persons(
        self,
        region_id: str,
        origin: object,
        kind: RegionType,
        value: dict[str, Any],
        drawn_hw: tuple[int, int],
        labels: Iterable[str],
    ) -> bool:
        """Whether a person drew or changed the region.

        A region that nnloop predicted is left as predicted while label and geometry are what its
        id says, or what the prediction known under that id says. In an annotation with such
        regions every other one is a person's: a copy keeps the origin ``prediction`` under a new
        id. Elsewhere the origin decides; without one it is a person's.

        Args:
            region_id: of the entry; "" for none.
            origin: what Label Studio says; None where it says nothing.
            kind: of its shape.
            value: of the entry with the shape.
            drawn_hw: (height, width) in pixels it was drawn on.
            labels: every name that its class goes by, also former ones.
        """
        marked = _MARKED.fullmatch(region_id)
        known = self._predicted.get(region_id)
        if marked is None and known is None:
            return self._is_of_known or origin != "prediction"
        content = content_of(kind, value, drawn_hw)
        if marked:
            return all(_mark(label, content) != marked[1] for label in labels)
        return not _is_among(known or (), kind, content, set(labels))


def _is_among(known: Result, kind: RegionType, content: object, labels: set[str]) -> bool:
    """Whether one of the entries with its id has the region's shape, and one its label."""
    return (
        content is not None
        and any(label_of(entry) in labels for entry in known)
        and any(
            kind_of(entry) is kind
            and content_of(kind, entry["value"], drawn_hw_of(entry)) == content
            for entry in known
        )
    )


def _mark(label: str, content: object) -> str:
    """The id for this content; "" for what can't be read."""
    if content is None:
        return ""
    text = json.dumps([label, content], separators=(",", ":"))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5)
    return ID_PREFIX + digest.hexdigest()


def content_of(kind: RegionType, value: dict[str, Any], drawn_hw: tuple[int, int]) -> Any:
    """The geometry with rounded numbers, of masks the pixels; None for what can't be read.

    Equal for equal geometry, as a JSON value. Label Studio's editor writes masks anew now and then:
    other bytes, the same pixels.
    """
    try:
        if kind.is_mask:
            return [kind.kind, *_pixels_of(kind, value, drawn_hw)]
        keys = (*kind.geometry, *kind.optional)
        return [kind.kind, *(_rounded(value.get(key, 0), key) for key in keys)]
    except (RegionError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _pixels_of(kind: RegionType, value: dict[str, Any], drawn_hw: tuple[int, int]) -> list[Any]:
    if min(drawn_hw) < 1:
        raise RegionError("does not say how large the image is that it was drawn on")
    shape = READERS[kind.kind](value, Where(drawn_hw, drawn_hw, 0.0)).shape
    if shape is None:
        return []
    bits = np.packbits(shape_to_mask(shape, drawn_hw))
    return [*drawn_hw, hashlib.blake2b(bits.tobytes(), digest_size=8).hexdigest()]


def _rounded(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return [_rounded(value.get(k), k) for k in (_VERTEX_KEYS if key == "vertices" else "xy")]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, list):
        return [_rounded(item, key) for item in value]
    return math.floor(float(value) * _PER_PERCENT + _OFFSET)


def kind_of(entry: Mapping[str, Any]) -> RegionType | None:
    """What an entry draws; None where it only gives a label, or is no region."""
    value = entry.get("value")
    if not isinstance(value, dict) or entry.get("type") == LABELS_TYPE:
        return None
    return region_type_by_name(entry.get("type")) or region_type_of_value(value)


def drawn_hw_of(entry: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) in pixels of the image that an entry was drawn on; 0 where it doesn't say.

    Scripts write 512.0 and "512", too.
    """
    said = drawn_sides(entry)
    if said is None:
        return 0, 0
    width, height = (round(side) if is_number(side) and side >= 1 else 0 for side in said)
    return height, width


def labels_by_id(result: Result) -> dict[str, str]:
    """Region id (``id_of``) -> its first label, in whichever entry that stands; "" for none.

    What has no id is no one region.
    """
    labels: dict[str, str] = {}
    for entry in result:
        if region_id := id_of(entry):
            labels[region_id] = labels.get(region_id) or label_of(entry)
    return labels


def label_of(entry: Mapping[str, Any]) -> str:
    """An entry's first label name; "" where it has none."""
    value = entry.get("value")
    kind = entry.get("type", "")
    found = value.get(kind) if isinstance(value, dict) and isinstance(kind, str) else None
    return found[0] if isinstance(found, list) and found and isinstance(found[0], str) else ""
