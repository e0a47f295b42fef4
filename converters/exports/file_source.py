"""An export file of Label Studio as a source of tasks, one in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from converters.bookkeeping.json_stream import MAX_PIECE_BYTES, Piece, iter_json
from converters.exports.item import SourceTask
from converters.label_studio.export_rows import is_min_row, tasks_from_export, whole_number
from domain.annotation import LeftOut, Task
from domain.errors import FileFormatError, TaskError


class ExportFile:
    """Reads JSON, JSON_MIN and the API's lists of tasks. May be read several times.

    Args:
        path: The file.
        model_version: Of several predictions the one of this version counts; None: the newest.
        choices: As ``tasks_from_export``.
    """

    def __init__(
        self, path: Path, model_version: str | None = None, choices: Collection[str] = ()
    ) -> None:
        self.path, self._model_version, self._choices = path, model_version, choices

    def __iter__(self) -> Iterator[SourceTask | LeftOut]:
        """Tasks in the file's order; a row that can't be read is a LeftOut in its place.

        Raises:
            FileFormatError: The file is no JSON, or is cut short.
        """
        reading = _Reading(self.path)
        rows = reading.rows()
        for task in tasks_from_export(rows, on_error=reading.note, choices=self._choices):
            yield from reading.take_faults()
            stored = reading.predictions.pop(task.id, [])
            predicted = tuple(
                entry for row in stored for entry in row["result"] if isinstance(entry, dict)
            )
            yield SourceTask(
                task,
                _chosen(stored, self._model_version),
                predicted,
                tuple(stored),
                reading.n_drafts.pop(task.id, 0),
                reading.n_bare.pop(task.id, 0),
            )
        yield from reading.take_faults()

    def tasks(self, on_left_out: Callable[[LeftOut], None] = lambda _: None) -> Iterator[Task]:
        """The tasks alone; ``on_left_out`` is told of the rows that are none."""
        for entry in self:
            if isinstance(entry, SourceTask):
                yield entry.task
            else:
                on_left_out(entry)

    def is_min(self) -> bool:
        """Whether the file is a JSON_MIN export, by its first row."""
        try:
            return any(is_min_row(row) for row in islice(_Reading(self.path).rows(), 1))
        except FileFormatError:
            return False  # reading the tasks will say so


class _Reading:
    """One pass over the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.predictions: dict[int, list[dict[str, Any]]] = {}
        self.n_drafts: dict[int, int] = {}
        self.n_bare: dict[int, int] = {}
        self._faults: list[LeftOut] = []
        self._place = ""
        self._fault: FileFormatError | None = None
        self._position = 0

    def rows(self) -> Iterator[Any]:
        """The rows of the file. A faulty one is None, which no reader takes for a task."""
        members: dict[str, Any] = {}
        size = 0
        for piece in iter_json(self._path, into=("tasks",)):
            self._place, self._fault = piece.place, None
            if piece.key and not piece.group:
                # An object that is not a list of tasks: a single task, or a webhook's body.
                size += len(piece.raw)
                if size > MAX_PIECE_BYTES:
                    raise FileFormatError(
                        f"{piece.place}: the file is one object of more than "
                        f"{MAX_PIECE_BYTES // 1024**2} MB, not a list of tasks.",
                        remedy="Export the project as JSON.",
                    )
                members[piece.key] = piece.parse()
                continue
            yield self._row(piece)
        if members and not self._position:
            self._place = f"the object in {self._path.name}"
            self._keep_rest(members, 1)
            task, annotation = members.get("task"), members.get("annotation")
            if isinstance(task, dict) and isinstance(annotation, dict):
                yield {**task, "annotations": [annotation]}
            else:
                yield members

    def note(self, error: TaskError) -> None:
        """Keeps a row that was no task, with its place in the file."""
        what = str(self._fault) if self._fault else f"{error} See {self._place}."
        self._faults.append(LeftOut(error.task_id, error.reason, what))

    def take_faults(self) -> list[LeftOut]:
        """The rows left out since the last call."""
        taken, self._faults = self._faults, []
        return taken

    def _row(self, piece: Piece) -> Any:
        self._position += 1
        try:
            row = piece.parse()
        except FileFormatError as error:
            self._fault = error
            return None
        if isinstance(row, dict):
            self._keep_rest(row, self._position)
        return row

    def _keep_rest(self, row: dict[str, Any], position: int) -> None:
        found = row.get("predictions")
        task_id = whole_number(position if row.get("id") is None else row["id"])
        if isinstance(found, list) and task_id is not None:
            usable = [p for p in found if isinstance(p, dict) and isinstance(p.get("result"), list)]
            if usable:
                self.predictions[task_id] = usable
            n_bare = sum(isinstance(p, int) for p in found)
            if n_bare:
                self.n_bare[task_id] = n_bare
        drafts = row.get("drafts")
        if isinstance(drafts, list) and drafts and task_id is not None:
            self.n_drafts[task_id] = len(drafts)


def _chosen(rows: list[dict[str, Any]], model_version: str | None) -> tuple[dict[str, Any], ...]:
    """The newest prediction of the version, or of all."""
    if model_version is not None:
        rows = [row for row in rows if row.get("model_version") == model_version]
    return tuple(rows[-1:])
