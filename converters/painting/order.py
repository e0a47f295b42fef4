"""Painting order: which of an annotation's regions lies on top where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import LabelConfigError
from domain.geometry import Shape
from domain.labels import LabelGroup

RULE = 2
"""Goes up when the same annotation gives another label map, so that cases are drawn again."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A region's shape in pixels, its class integer, and whether a person drew or changed it.

    ``region_id`` and ``name`` say which one it is: as Label Studio has it, and in a sentence.
    """

    class_index: int
    shape: Shape
    is_persons: bool
    region_id: str = ""
    name: str = ""


def in_painting_order(regions: Sequence[Drawn], ranks: dict[int, int]) -> list[Drawn]:
    """What a person drew or changed lies over what was left as predicted.

    Among equals the higher rank lies on top, then the later region.

    Args:
        regions: in the annotation's order.
        ranks: ``class_ranks``.
    """
    return sorted(regions, key=lambda r: (r.is_persons, ranks.get(r.class_index, 0)))


def class_ranks(group: LabelGroup, priority: Sequence[str]) -> dict[int, int]:
    """Class integer -> painting rank; what is painted last lies on top.

    Args:
        group: the classes.
        priority: class names, the first on top; the other classes have no rank and lie below.

    Raises:
        LabelConfigError: the priority names a class the configuration lacks.
    """
    ranks: dict[int, int] = {}
    for rank, name in enumerate(reversed(priority), start=1):
        if name in group.dropped_values:
            continue
        label_class = group.class_by_value(name)
        if label_class is None:
            raise LabelConfigError(
                f"The label priority names {name!r}, which the labelling configuration lacks.",
                remedy=f"Its labels are {', '.join(repr(c.value) for c in group.classes)}; "
                "set label_priority with `nnloop connect`.",
            )
        ranks[label_class.index] = rank
    return ranks
