"""What people and models say about a task: Task, Region, Annotation, and what was left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from domain.geometry import Polygon
from domain.text import sayable


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's submitted result, as Label Studio holds it now.

    ``result`` is the raw list of regions. ``was_cancelled`` marks a skip. An empty result that was
    not cancelled is a true negative. ``lead_time_s`` are the seconds that Label Studio counted
    while it was open, over all edits so far; None where it didn't. ``updated_by`` is who saved it
    last, and ``parent_prediction`` Label Studio's id of the prediction that it began with; it
    forgets that when the prediction is deleted. ``email`` is the address of who made it, where a
    file says it: ids of people are those of one server.
    """

    id: int
    task_id: int
    result: list[dict[str, Any]]
    was_cancelled: bool = False
    ground_truth: bool = False
    completed_by: int | None = None
    created_at: str = ""
    updated_at: str = ""
    lead_time_s: float | None = None
    updated_by: int | None = None
    parent_prediction: int | None = None
    email: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the project: its data fields and the annotations that exist now.

    ``created_at`` and ``updated_at`` are Label Studio's texts; "" where they are not known.
    """

    id: int
    project_id: int
    data: dict[str, Any]
    annotations: tuple[Annotation, ...] = field(default=())
    updated_at: str = ""
    created_at: str = ""


class AnnotatedTask(NamedTuple):
    """What of a task's annotations a run remembers, to tell what has changed since.

    ``annotation_id`` is the newest that counts, ``content_hash`` over all that count, ``source``
    the task's (``domain.case.source_of``).
    """

    annotation_id: int
    content_hash: str
    source: str


OVER_BUDGET = "over_budget"
"""Key in a region's ``meta``: the vertex budget gave way to the IoU floor."""


NOTE = "note"
"""Key in a region's ``meta``: a line for who corrects it."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One shape: its class integer and polygons in pixels. ``score`` is None for a person's.

    ``meta`` says how the shape came about (``iou``, ``over_budget``), and what to know about it
    (``note``); empty for a person's.
    """

    id: str
    class_index: int
    polygons: tuple[Polygon, ...]
    score: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def region_id(class_index: int, polygon: Polygon, salt: int = 0) -> str:
    """Ten hex digits that depend on nothing but the region's content (and ``salt``)."""
    digest = hashlib.blake2b(f"{class_index}/{salt}".encode(), digest_size=5)
    for ring in polygon.rings:
        digest.update(len(ring).to_bytes(4, "little") + np.round(ring, 6).astype("<f8").tobytes())
    return digest.hexdigest()


REMARKS = frozenset(
    {"thin_marked", "extra_label", "duplicate_region", "box_only", "hole_bridged", "renamed_files"}
    | {"orientation", "no_group", "same_image", "spacing_unclear", "no_score", "first_picture"}
)
"""Reasons by which nothing is lost: something was used, though not quite as it stands."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not used, and why; or was used otherwise than it stands (``REMARKS``).

    ``reason`` is a stable word (``unknown_label``, ``skipped``, ``image_missing``, ...);
    ``message`` a sentence for a person, ``remedy`` one that says what to do; ``region_id`` is empty
    when the whole task is left out.
    """

    task_id: int
    reason: str
    message: str
    region_id: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        """Its sentences may have parts of a file or a task, with half a character."""
        for name in ("message", "region_id", "remedy"):
            text = getattr(self, name)
            if not text.isascii():
                object.__setattr__(self, name, sayable(text))

    @property
    def in_full(self) -> str:
        """Message and remedy, for a place that has one text for both."""
        return f"{self.message} {self.remedy}".strip()

    @property
    def is_remark(self) -> bool:
        """Whether nothing is lost."""
        return self.reason in REMARKS

    @property
    def is_whole_task(self) -> bool:
        """Whether the whole task is left out."""
        return not self.region_id and not self.is_remark
