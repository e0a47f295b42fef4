"""nnU-Net's case, and the manifest that names what a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.annotation import LeftOut
from domain.hashing import content_hash


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


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One case of a training set and the exact annotations behind it.

    ``annotation_ids`` are all that were used, oldest first, where they are more than the newest,
    ``annotation_id``. ``content_hash`` covers all. ``source`` is the task's (``source_of``),
    ``image_hash`` over the bytes of its images; "" where that is not known.
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
        if not self.annotation_ids:
            object.__setattr__(self, "annotation_ids", (self.annotation_id,))

    def is_same(self, other: ManifestEntry) -> bool:
        """Whether both say the same of the same image, as far as it is known."""
        return self.content_hash == other.content_hash and all(
            "" in pair or pair[0] == pair[1]
            for pair in ((self.source, other.source), (self.image_hash, other.image_hash))
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The exact list of annotations in a training set, and what was left out.

    Attributes:
        entries: What was trained on.
        left_out: What was annotated and not used, or not as it stands.
        class_values: Classes in integer order, background left out.
        n_folds: 1 when nothing was held out.
        n_channels: Of the images; 0 where no data set was made of it.
        label_mapping: The renames of labels by which the annotations were read.
        group_key: The setting that explains the groups; None: each task is its own.
        joined_groups: Name of a group -> what it is called in the entries, where groups are one
            because they share images.
    """

    entries: tuple[ManifestEntry, ...]
    left_out: tuple[LeftOut, ...] = field(default=())
    class_values: tuple[str, ...] = field(default=())
    n_folds: int = 0
    n_channels: int = 0
    label_mapping: dict[str, str] = field(default_factory=dict)
    group_key: str | None = None
    joined_groups: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over annotations, hashes, folds and classes."""
        rows = sorted((e.case_id, e.annotation_id, e.content_hash, e.fold) for e in self.entries)
        return content_hash([rows, list(self.class_values), self.n_folds])
