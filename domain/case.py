"""nnU-Net's case, and the manifest that names what a model was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.annotation import LeftOut


def case_id_of_task(task_id: int, source: str = "") -> str:
    """The case id of a task; it never changes while the task is the same one.

    Args:
        task_id: Label Studio's id, which it gives to another task once this one is deleted.
        source: The task's ``source_of``; "" in a file of tasks, where ids are unique.

    >>> case_id_of_task(7)
    'task_00000007'
    >>> case_id_of_task(7, "c0ffee1234")
    'task_00000007_c0ffee12'
    """
    return f"task_{task_id:08d}" + (f"_{source[:8]}" if source else "")


def source_of(created_at: str, images: Sequence[str]) -> str:
    """The identity of a task beyond its id: when it was made, and the images it names.

    Args:
        created_at: Label Studio's text; "" where it is not known.
        images: The raw values of its image fields, in the order of the channels.

    Returns:
        SHA-256 (hex).
    """
    return content_hash([created_at, list(images)])


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One case of a training set and the exact annotations behind it.

    ``annotation_ids`` are all that were used, oldest first; ``annotation_id`` is the newest of
    them. ``content_hash`` covers all. ``source`` is the task's (``source_of``), ``image_hash`` over
    the bytes of its images; "" in a manifest of the time before they were kept.
    """

    case_id: str
    task_id: int
    annotation_id: int
    content_hash: str
    group: str
    fold: int
    annotation_ids: tuple[int, ...] = field(default=())
    source: str = ""
    image_hash: str = ""

    def __post_init__(self) -> None:
        # A list from JSON, or nothing from a manifest of the time when one annotation counted.
        ids = tuple(self.annotation_ids) or (self.annotation_id,)
        object.__setattr__(self, "annotation_ids", ids)

    def is_same(self, other: ManifestEntry) -> bool:
        """Whether both say the same of the same image, as far as it is known."""
        return self.content_hash == other.content_hash and all(
            "" in pair or pair[0] == pair[1]
            for pair in ((self.source, other.source), (self.image_hash, other.image_hash))
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The exact list of annotations in a training set, and what was left out."""

    entries: tuple[ManifestEntry, ...]
    left_out: tuple[LeftOut, ...] = field(default=())
    class_values: tuple[str, ...] = field(default=())
    n_folds: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over annotations, hashes, folds and classes."""
        rows = sorted((e.case_id, e.annotation_id, e.content_hash, e.fold) for e in self.entries)
        return content_hash([rows, list(self.class_values), self.n_folds])

    def to_json(self) -> dict[str, Any]:
        """A JSON value that ``from_json`` reads back."""
        return {
            "digest": self.digest,
            "class_values": list(self.class_values),
            "n_folds": self.n_folds,
            "entries": [
                {
                    "case_id": e.case_id,
                    "task_id": e.task_id,
                    "annotation_id": e.annotation_id,
                    "annotation_ids": list(e.annotation_ids),
                    "content_hash": e.content_hash,
                    "group": e.group,
                    "fold": e.fold,
                    "source": e.source,
                    "image_hash": e.image_hash,
                }
                for e in self.entries
            ],
            "left_out": [
                {
                    "task_id": x.task_id,
                    "reason": x.reason,
                    "message": x.in_full,
                    "region_id": x.region_id,
                }
                for x in self.left_out
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Manifest:
        """Reads what ``to_json`` wrote."""
        return cls(
            entries=tuple(ManifestEntry(**row) for row in value["entries"]),
            left_out=tuple(LeftOut(**row) for row in value["left_out"]),
            class_values=tuple(value["class_values"]),
            n_folds=value["n_folds"],
        )
