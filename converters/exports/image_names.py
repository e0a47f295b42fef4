"""Names of the images of an export that tell them apart."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from converters.exports.exporter import Record, Records
from converters.exports.item import ExportItem

_NAMES = "image_names"


@dataclass(frozen=True, slots=True)
class NamedImage:
    """The record of a task, its image's name, and whether other tasks have the very same image."""

    record: Record
    name: str
    is_shared: bool


def names_of_image(item: ExportItem) -> Record:
    """What a record must hold for ``told_apart``."""
    return {_NAMES: [item.image_name or item.stem, *item.longer_names]}


def told_apart(records: Records) -> Iterator[NamedImage]:
    """The images of all tasks, with as much of their paths as tells them apart.

    Tasks of the very same image keep one name, for it is one file.
    """
    taken: Counter[str] = Counter()
    tasks_of = Counter(tuple(record[_NAMES]) for record in records())
    for distinct in tasks_of:
        taken.update({_as_one(name) for name in distinct})
    for record in records():
        names = record[_NAMES]
        own = next((name for name in names if taken[_as_one(name)] == 1), names[-1])
        yield NamedImage(record, own, tasks_of[tuple(names)] > 1)


def _as_one(name: str) -> str:
    """Equal for names that one file system or another takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()
