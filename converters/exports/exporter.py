"""Exporter: the interface every format has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from domain.labels import LabelConfig

Record = dict[str, Any]
"""JSON that a format wants to see again when it writes its files about all tasks."""

Records = Callable[[], Iterator[Record]]
"""The records of all tasks in order, as often as asked for."""


class Needs(Enum):
    """What a format needs of a task."""

    PIXELS = "the image's pixels and an annotation"
    PIXELS_IF_THERE = "an annotation, and the image's pixels if there are any"
    SIZE = "the image's size and an annotation"
    PREDICTIONS = "predictions only"


@dataclass(frozen=True, slots=True)
class Written:
    """Files of one task, relative to the export's folder, and its record."""

    files: tuple[str, ...] = field(default=())
    record: Record = field(default_factory=dict)


class Exporter(Protocol):
    """One export in one format. Files are written whole or not at all.

    A run may stop at any task and start again later: ``write`` is called for new and changed tasks
    only, ``finish`` at the end of every run with the records of all tasks, also earlier ones'.
    """

    def write(self, item: ExportItem) -> Written:
        """Writes the files of one task.

        Raises:
            TaskError: The task can't be used; nothing of it was written.
        """

    def finish(self, records: Records) -> None:
        """Writes the files about all tasks."""


def without_ignored(config: LabelConfig) -> tuple[str, ...]:
    """What to say of a format that has no word for pixels of which nothing is known."""
    if not config.group.has_ignore:
        return ()
    return (
        "This format can't say which pixels are ignored: they are as background here. nnunet and "
        "the formats of whole masks can.",
    )


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the registry.

    ``version`` goes up when the same task gives other files, so that an older export is redone.
    ``remarks`` are sentences for the report about the classes. ``is_named_by_image``: the files of
    a task have the name of its image, where that is not another task's already.
    ``takes_predictions``: of a task that nobody has labelled its prediction stands in.
    ``follows_color``: one image in colour, as records say by ``is_color``, makes the files of every
    task colour (``ExportItem.as_color``). ``remarks_of_all`` are sentences for the report about all
    that was written. ``knows_unions``: its files say which classes networks are to find together.
    """

    name: str
    summary: str
    needs: Needs
    open: Callable[[Path, LabelConfig, ExportOptions], Exporter]
    version: int = 1
    remarks: Callable[[LabelConfig], tuple[str, ...]] = lambda _: ()
    is_named_by_image: bool = True
    takes_predictions: bool = False
    follows_color: bool = False
    remarks_of_all: Callable[[Records], tuple[str, ...]] = lambda _: ()
    knows_unions: bool = False
