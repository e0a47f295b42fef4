"""What is said with a prediction: why it is where it is, and what of it does not go out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from active_learning.why import Reason
from backend.store.models import TaskRow
from domain.annotation import NOTE, LeftOut, Region

TOO_MANY_PARTS = "too_many_parts"


def with_reason(
    regions: Sequence[Region], reason: Reason | None, names: Mapping[int, str]
) -> list[Region]:
    """The regions, the first of the class in doubt with the reason; the first of all without one.

    Label Studio shows notes on regions alone: of a prediction without any nothing is said.

    Args:
        regions: Outer and larger ones first.
        reason: None where nothing stands out.
        names: Integer -> class, as in the reason.
    """
    found = list(regions)
    if reason is None or not found:
        return found
    own = [i for i, r in enumerate(found) if names.get(r.class_index) == reason.class_value]
    at = own[0] if own else 0
    found[at] = replace(found[at], meta={**found[at].meta, NOTE: reason.note})
    return found


def too_many(task: TaskRow, n_parts: int, n_kept: int) -> LeftOut:
    """That only the largest parts of a prediction are shown."""
    return LeftOut(
        task.id,
        TOO_MANY_PARTS,
        f"Task {task.id}: the network sees {n_parts} parts in it; only the {n_kept} largest are "
        "shown.",
        remedy="It is probably unlike the images labelled so far: label it, or set "
        "min_region_area_px (nnloop connect).",
    )
