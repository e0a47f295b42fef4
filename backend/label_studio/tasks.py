"""Tasks: import images, read tasks with their annotations, submit annotations."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend.label_studio.calls import Calls
from backend.label_studio.connection import LONG_TIMEOUT_S, detail_of
from backend.label_studio.predictions import PushedPrediction, pushed_prediction
from backend.label_studio.task_pages import portions, task_filter, task_pages
from backend.label_studio.views import Tab
from domain.annotation import Annotation, Task
from domain.errors import LabelStudioError, MissingError
from domain.text import counted

UPLOAD_FILES = 50
"""Files per upload; Label Studio takes 100 form files by default (DATA_UPLOAD_MAX_NUMBER_FILES)."""

UPLOAD_BYTES = 64 * 1024 * 1024
"""Bytes per upload; Label Studio takes 250 MB by default."""

_NAME_LENGTH = 60
"""Characters of a file name kept; Label Studio puts 9 and a folder before them, 100 in all."""

_ANNOTATION_FIELDS = (
    "result",
    "was_cancelled",
    "ground_truth",
    "completed_by",
    "created_at",
    "updated_at",
    "lead_time",
    "updated_by",
    "parent_prediction",
)
_HEAD_FIELDS = ("id", "data", "created_at")
_TASK_FIELDS = ("id", "data", "annotations", *_ANNOTATION_FIELDS)


@dataclass(frozen=True, slots=True)
class ServedTask:
    """What Label Studio serves an annotator next: the task and the predictions it shows."""

    task: Task
    predictions: tuple[PushedPrediction, ...]


@dataclass(frozen=True, slots=True)
class TaskHead:
    """A task without its annotations.

    ``data`` and ``created_at`` tell it from a task that had its id before.
    """

    id: int
    data: dict[str, Any]
    created_at: str


class Tasks(Calls):
    """Calls about tasks and annotations."""

    def import_images(self, project_id: int, files: Sequence[tuple[str, bytes]]) -> list[int]:
        """Uploads image files, one task each.

        Args:
            project_id: Where to.
            files: (name, content) pairs. Names may repeat.

        Returns:
            Task ids, in the order of ``files``.
        """
        ids: list[int] = []
        for batch in _upload_batches(files):
            ids += self._upload(project_id, batch)
        return ids

    def import_tasks(self, project_id: int, data: Sequence[dict[str, Any]]) -> list[int]:
        """Makes a task of each object of fields, whose images stay where their addresses say.

        Returns:
            Task ids, in the order of ``data``.
        """
        if not data:
            return []
        answer = self._connection.json(
            "POST",
            f"/api/projects/{project_id}/import",
            params={"return_task_ids": "true"},
            body=[{"data": fields} for fields in data],
            timeout_s=LONG_TIMEOUT_S,
        )
        ids = sorted(int(i) for i in (answer or {}).get("task_ids", []))
        if len(ids) != len(data):
            raise LabelStudioError(
                f"Label Studio made {counted(len(ids), 'task')} of {len(data)}.",
                remedy="See its log.",
            )
        return ids

    def update_data(self, task_id: int, data: dict[str, Any]) -> None:
        """Replaces the fields of a task."""
        self._connection.json("PATCH", f"/api/tasks/{task_id}/", body={"data": data})

    def iter_tasks(
        self,
        project_id: int,
        *,
        updated_after: str = "",
        task_ids: Collection[int] | None = None,
    ) -> Iterator[Task]:
        """Tasks with every annotation that exists now, skipped ones too, by rising id.

        Reads 250 tasks per call and holds no more than that: about 1.3 s per 1,000 tasks.

        Args:
            project_id: Whose tasks.
            updated_after: Only tasks changed after this ISO time (an earlier ``Task.updated_at``).
                Creating, changing, skipping and deleting an annotation all count as a change; a
                deleted task is simply absent, so only a full reading finds it.
            task_ids: Only these; one that is not there is absent. None: all.
        """
        for portion in [()] if task_ids is None else portions(task_ids):
            pages = task_pages(
                self._connection,
                project_id,
                _TASK_FIELDS,
                updated_after=updated_after,
                only_ids=portion,
            )
            for rows in pages:
                for row in rows:
                    yield _task(row, project_id)

    def next_tasks(self, project_id: int, after_id: int, limit: int) -> list[Task]:
        """The first tasks with a greater id, as ``iter_tasks`` gives them, in one call."""
        pages = task_pages(
            self._connection, project_id, _TASK_FIELDS, after_id=after_id, page_size=limit
        )
        return [_task(row, project_id) for row in next(pages, [])]

    def task(self, task_id: int) -> Task:
        """One task with all its annotations, opened as by an annotator.

        If it has no prediction, Label Studio asks the project's backend for one.
        """
        row = self._connection.json(
            "GET", f"/api/tasks/{task_id}/", params={"resolve_uri": "false"}
        )
        return _task(row, int(row["project"]))

    def unopened_task(self, project_id: int, task_id: int) -> Task:
        """One task with all its annotations; Label Studio asks nobody for a prediction.

        Raises:
            MissingError: The project has no such task.
        """
        pages = task_pages(
            self._connection, project_id, _TASK_FIELDS, after_id=task_id - 1, page_size=1
        )
        for row in next(pages, []):
            if row["id"] == task_id:
                return _task(row, project_id)
        raise MissingError(
            f"Label Studio's project {project_id} has no task {task_id}.",
            remedy="It may have been deleted meanwhile.",
        )

    def iter_heads(self, project_id: int) -> Iterator[TaskHead]:
        """Every task without its annotations, by rising id; several times as fast as all of it."""
        for rows in task_pages(self._connection, project_id, _HEAD_FIELDS, is_nested=False):
            for row in rows:
                yield TaskHead(int(row["id"]), row["data"], str(row.get("created_at") or ""))

    def drafted_tasks(self, project_id: int) -> list[int]:
        """Ids of the tasks that somebody has begun without submitting, rising.

        Label Studio's editor stores a draft soon after the first change. A task that is open in an
        editor and not changed yet can't be told: its lock is nowhere in the interface.
        """
        is_drafted = task_filter("draft_exists", "equal", True, "Boolean")
        pages = task_pages(
            self._connection, project_id, ("id",), only=[is_drafted], is_nested=False
        )
        return [int(row["id"]) for rows in pages for row in rows]

    def draft_owners(self, task_id: int) -> set[int]:
        """Ids of the users who have a draft of a task; empty when the task is there no more."""
        try:
            rows = self._connection.json("GET", f"/api/tasks/{task_id}/drafts")
        except MissingError:
            return set()
        # `user` is a name; this one ends with the id: "anna@example.com, 4".
        return {int(row["created_username"].rpartition(",")[2]) for row in rows}

    def uploaded_tasks(self, project_id: int, names: Collection[str]) -> dict[str, list[int]]:
        """Ids of the tasks made by uploading files of these names, by name, oldest first."""
        stored = {plain_name(name): name for name in names}
        found: dict[str, list[int]] = {}
        for rows in task_pages(self._connection, project_id, ("id", "file_upload")):
            for row in rows:
                name = stored.get(str(row["file_upload"]).partition("-")[2])
                if name is not None:
                    found.setdefault(name, []).append(int(row["id"]))
        return found

    def delete_task(self, task_id: int) -> None:
        """Deletes a task and its annotations."""
        self._connection.json("DELETE", f"/api/tasks/{task_id}/")

    def next_task(self, project_id: int) -> ServedTask | None:
        """The task Label Studio serves the key's user next, or None when nothing is left.

        This locks the task for that user, as opening the labelling stream does. The data come as
        the editor gets them (storage links resolved).
        """
        path = f"/api/projects/{project_id}/next/"
        return self._served(
            self._connection.send("GET", path, timeout_s=LONG_TIMEOUT_S), path, project_id
        )

    def next_in_tab(self, project_id: int, tab: Tab) -> ServedTask | None:
        """The task that 'Label Tasks As Displayed' opens next in a tab, or None.

        As ``next_task``, in the tab's order and of its tasks alone.
        """
        path = "/api/dm/actions"
        # With the tab's id alone Label Studio would take any task of the project.
        body = {name: tab.data.get(name) for name in ("filters", "ordering")}
        response = self._connection.send(
            "POST",
            path,
            params={"id": "next_task", "project": project_id},
            body={**body, "selectedItems": {"all": True, "excluded": []}},
            timeout_s=LONG_TIMEOUT_S,
        )
        return self._served(response, path, project_id)

    def _served(self, response: httpx.Response, path: str, project_id: int) -> ServedTask | None:
        # An unknown project is a 404 too.
        if response.status_code == httpx.codes.NOT_FOUND and "no tasks" in detail_of(response):
            return None
        self._connection.check(response, str(response.request.method), path)
        row = response.json()
        rows = (pushed_prediction({"task": row["id"], **p}) for p in row.get("predictions", []))
        return ServedTask(task=_task(row, project_id), predictions=tuple(rows))

    def annotate(
        self,
        task_id: int,
        result: Sequence[dict[str, Any]],
        *,
        was_cancelled: bool = False,
        ground_truth: bool = False,
        lead_time: float | None = None,
        parent_prediction: int | None = None,
        completed_by: int | None = None,
    ) -> int:
        """Submits an annotation, as the key's user unless ``completed_by`` says otherwise.

        Args:
            task_id: Which task.
            result: Regions in Label Studio's JSON; empty = nothing to see here.
            was_cancelled: True for a skip.
            ground_truth: Whether it is marked as right beyond doubt.
            lead_time: Seconds the annotator took.
            parent_prediction: Id of the prediction it started from.
            completed_by: Id of the user who made it, one of this server.

        Returns:
            The annotation's id.
        """
        body: dict[str, Any] = {"result": list(result), "was_cancelled": was_cancelled}
        if ground_truth:
            body["ground_truth"] = True
        if lead_time is not None:
            body["lead_time"] = lead_time
        if parent_prediction is not None:
            body["parent_prediction"] = parent_prediction
        if completed_by is not None:
            body["completed_by"] = completed_by
        path = f"/api/tasks/{task_id}/annotations/"
        return int(self._connection.json("POST", path, body=body)["id"])

    def update_annotation(self, annotation_id: int, result: Sequence[dict[str, Any]]) -> None:
        """Replaces the regions of an annotation."""
        path = f"/api/annotations/{annotation_id}/"
        self._connection.json("PATCH", path, body={"result": list(result)})

    def delete_annotation(self, annotation_id: int) -> None:
        """Deletes an annotation."""
        self._connection.json("DELETE", f"/api/annotations/{annotation_id}/")

    def _upload(self, project_id: int, batch: Sequence[tuple[str, bytes]]) -> list[int]:
        # Every form field needs a name of its own: of equal names Label Studio keeps the last.
        form = {
            f"file{index:04d}": (name, content, mimetypes.guess_type(name)[0] or "image/png")
            for index, (name, content) in enumerate(batch)
        }
        answer = self._connection.json(
            "POST",
            f"/api/projects/{project_id}/import",
            params={"return_task_ids": "true"},
            files=form,
            timeout_s=LONG_TIMEOUT_S,
        )
        ids = sorted(int(i) for i in (answer or {}).get("task_ids", []))
        if len(ids) != len(batch):
            raise LabelStudioError(
                f"Label Studio made {counted(len(ids), 'task')} of "
                f"{counted(len(batch), 'uploaded file')}.",
                remedy="Check the file types it accepts, and its log.",
            )
        by_name = self._ids_by_stored_name(project_id, ids)
        missing = [name for name, _ in batch if name not in by_name]
        if missing:
            raise LabelStudioError(
                f"Label Studio stored the upload {missing[0]!r} under another name.",
                remedy="Give the file a plain name of letters and digits.",
            )
        return [by_name[name] for name, _ in batch]

    def _ids_by_stored_name(self, project_id: int, ids: list[int]) -> dict[str, int]:
        """Task ids by uploaded name: Label Studio stores ``<8 hex>-<name>``."""
        wanted, found = set(ids), {}
        fields = ("id", "file_upload")
        for rows in task_pages(self._connection, project_id, fields, after_id=ids[0] - 1):
            for row in rows:
                if row["id"] in wanted:
                    found[str(row["file_upload"]).partition("-")[2]] = int(row["id"])
        return found


def _upload_batches(
    files: Sequence[tuple[str, bytes]],
) -> Iterator[list[tuple[str, bytes]]]:
    """Splits files by count and size, with plain names that are unique within a batch."""
    batch: list[tuple[str, bytes]] = []
    names: set[str] = set()
    size = 0
    for name, content in files:
        plain = plain_name(name)
        full = len(batch) == UPLOAD_FILES or size + len(content) > UPLOAD_BYTES
        if batch and (full or plain in names):
            yield batch
            batch, names, size = [], set(), 0
        batch.append((plain, content))
        names.add(plain)
        size += len(content)
    if batch:
        yield batch


def plain_name(name: str) -> str:
    """A file name that Label Studio stores unchanged: ASCII, no spaces, at most 60 characters.

    >>> plain_name("scans/left (2).png")
    'left_2.png'
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    stem, suffix = (stem, suffix) if dot else (suffix, "")
    clean = re.sub(r"[^A-Za-z0-9-]+", "_", stem).strip("_") or "image"
    ending = re.sub(r"[^A-Za-z0-9]+", "", suffix)[:8]
    return clean[: _NAME_LENGTH - 9] + (f".{ending}" if ending else "")


def _task(row: dict[str, Any], project_id: int) -> Task:
    task_id = int(row["id"])
    annotations = sorted(
        (_annotation(a, task_id) for a in row.get("annotations") or []), key=lambda a: a.id
    )
    return Task(
        id=task_id,
        project_id=project_id,
        data=row["data"],
        annotations=tuple(annotations),
        updated_at=str(row.get("updated_at") or ""),
        created_at=str(row.get("created_at") or ""),
    )


def _annotation(row: dict[str, Any], task_id: int) -> Annotation:
    lead_time = row.get("lead_time")
    return Annotation(
        id=int(row["id"]),
        task_id=task_id,
        result=row.get("result") or [],
        was_cancelled=bool(row.get("was_cancelled")),
        ground_truth=bool(row.get("ground_truth")),
        completed_by=_id_of(row.get("completed_by")),
        created_at=str(row.get("created_at") or ""),
        updated_at=str(row.get("updated_at") or ""),
        lead_time_s=float(lead_time) if isinstance(lead_time, int | float) else None,
        updated_by=_id_of(row.get("updated_by")),
        parent_prediction=_id_of(row.get("parent_prediction")),
    )


def _id_of(value: Any) -> int | None:
    """Of what some answers name by its id, and others write out."""
    found = value.get("id") if isinstance(value, dict) else value
    return int(found) if found is not None else None
