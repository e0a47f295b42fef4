"""What a person made of a prediction: region by region, from the prediction to the annotation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from converters.label_studio.predicted import Result, content_of, drawn_hw_of, kind_of, labels_by_id
from converters.label_studio.region_types import RegionType
from converters.label_studio.regions.value import is_number

Point = tuple[float, float]

POINTS_KEYS = ("points", "vertices")

SAME_PERCENT = 1e-5
"""Points nearer than this, in percent of a side, are the same: a thousandth of 10,000 pixels."""

_OFFSET = 0.28179
"""Moves the grid of ``SAME_PERCENT``, so that points on fractions of two lie inside its cells."""

MOST_POINTS = 3_000
"""Of a region whose points are matched one by one; of longer ones only their number counts."""


class Change(StrEnum):
    """What became of a region."""

    KEPT = "kept"
    EDITED = "edited"
    REMOVED = "removed"
    DRAWN = "drawn"


@dataclass(frozen=True, slots=True)
class RegionChange:
    """One region of a prediction, or of the annotation that came of it.

    Attributes:
        change: What a person did with it.
        label: Its class as submitted; of a removed region as predicted.
        is_relabelled: The prediction had given it another class.
        n_moved: Points at another place than in the prediction. A region that was moved as a whole
            counts as one, as does a shape without points (a rectangle, a mask) that was changed.
        n_added: Points it has more; of a region that a person drew all of them.
        n_removed: Points it has less. 0 of a removed region: it goes with one key.
    """

    change: Change
    label: str
    is_relabelled: bool = False
    n_moved: int = 0
    n_added: int = 0
    n_removed: int = 0


@dataclass(frozen=True, slots=True)
class _Region:
    kind: RegionType
    label: str
    content: Any
    points: tuple[Point, ...]


def changes_between(
    predicted: Result, submitted: Result, now: Callable[[str], str] = str
) -> list[RegionChange]:
    """What a person changed between a prediction and the annotation that came of it.

    Regions are the same where their ids are: Label Studio keeps them when a prediction is taken
    over, and gives a copy, or what is drawn, a new one.

    Args:
        predicted: Entries of the prediction, as they were pushed.
        submitted: Entries of the annotation.
        now: What a class is called today, by a name it has or had: one that was renamed meanwhile
            is no other.

    Returns:
        First one for each submitted region, in their order, then the removed ones. Entries that
        draw nothing, and shapes that can't be read, are in neither.
    """
    before, after = _regions_of(predicted, now), _regions_of(submitted, now)
    changes = [_change_of(before.get(region_id), region) for region_id, region in after.items()]
    gone = [region for region_id, region in before.items() if region_id not in after]
    return changes + [RegionChange(Change.REMOVED, region.label) for region in gone]


def n_shared(predicted: Result, submitted: Result) -> int:
    """How many regions of a prediction an annotation has taken over, changed or not."""
    return len(_regions_of(predicted).keys() & _regions_of(submitted).keys())


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is of something: its regions and their points."""

    n_regions: int = 0
    n_points: int = 0


def extent_of(result: Result) -> Extent:
    """Of what an annotation shows; a shape without points (a rectangle, a mask) counts as one."""
    regions = _regions_of(result).values()
    return Extent(len(regions), sum(max(1, len(region.points)) for region in regions))


def _regions_of(result: Result, now: Callable[[str], str] = str) -> dict[str, _Region]:
    """By id, in the order of the shapes; a label may stand in another entry with the same id."""
    labels = labels_by_id(result)
    regions: dict[str, _Region] = {}
    for entry in result:
        region_id, kind = entry.get("id"), kind_of(entry)
        if kind is None or not isinstance(region_id, str) or region_id in regions:
            continue
        content = content_of(kind, entry["value"], drawn_hw_of(entry))
        points = _points_of(entry["value"])
        if region_id and content is not None and points is not None:
            regions[region_id] = _Region(kind, now(labels[region_id]), content, points)
    return regions


def _points_of(value: dict[str, Any]) -> tuple[Point, ...] | None:
    """None for what are no points."""
    try:
        points = [point for key in POINTS_KEYS for point in value.get(key) or ()]
        pairs = [(p["x"], p["y"]) if isinstance(p, dict) else (p[0], p[1]) for p in points]
        found = tuple((float(x), float(y)) for x, y in pairs)
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    return found if all(is_number(x) and is_number(y) for x, y in found) else None


def _change_of(before: _Region | None, after: _Region) -> RegionChange:
    if before is None:
        return RegionChange(Change.DRAWN, after.label, n_added=max(1, len(after.points)))
    is_relabelled = before.label != after.label
    if before.content == after.content:
        change = Change.EDITED if is_relabelled else Change.KEPT
        return RegionChange(change, after.label, is_relabelled)
    moved, added, removed = _point_changes(before.points, after.points)
    if not moved + added + removed:
        moved = 1
    return RegionChange(Change.EDITED, after.label, is_relabelled, moved, added, removed)


def _point_changes(before: Sequence[Point], after: Sequence[Point]) -> tuple[int, int, int]:
    """(moved, added, removed) points between two rings that begin at the same place."""
    if not before or not after or _is_shift(before, after):
        return 0, 0, 0
    if max(len(before), len(after)) > MOST_POINTS:
        more = len(after) - len(before)
        n_moved = sum(a != b for a, b in zip(map(_cell, before), map(_cell, after), strict=False))
        return n_moved, max(0, more), max(0, -more)
    matcher = SequenceMatcher(
        None, [_cell(p) for p in before], [_cell(p) for p in after], autojunk=False
    )
    moved = added = removed = 0
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        n_old, n_new = end - start, new_end - new_start
        moved += min(n_old, n_new)
        added += max(0, n_new - n_old)
        removed += max(0, n_old - n_new)
    return moved, added, removed


def _is_shift(before: Sequence[Point], after: Sequence[Point]) -> bool:
    """Whether the whole region was dragged: every point by the same way."""
    if len(before) != len(after):
        return False
    ways = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after, strict=True)]
    return all(
        abs(x - ways[0][0]) <= SAME_PERCENT and abs(y - ways[0][1]) <= SAME_PERCENT for x, y in ways
    )


def _cell(point: Point) -> tuple[int, int]:
    x, y = (math.floor(value / SAME_PERCENT + _OFFSET) for value in point)
    return x, y
