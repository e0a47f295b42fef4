"""Which task a row is of: Label Studio gives the ids of deleted tasks to new ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.models import AnnotationRow, PredictionRow, ProblemRow, TaskRow
from domain.annotation import Task
from domain.case import source_of
from domain.states import TaskState

# Rows per statement: below SQLite's limit on bound variables.
CHUNK = 500


def source_in(data: Mapping[str, Any], created_at: str, image_keys: Sequence[str]) -> str:
    """The identity of a task with these data (``domain.case.source_of``).

    Args:
        data: Its fields.
        created_at: Label Studio's text.
        image_keys: The fields of its images, in the order of the channels.
    """
    values = [data.get(key) for key in image_keys]
    return source_of(created_at, [v if isinstance(v, str) else "" for v in values])


def rows_of(session: Session, task_ids: Sequence[int]) -> dict[int, TaskRow]:
    """The rows of tasks by id, of those that are there."""
    rows: dict[int, TaskRow] = {}
    for start in range(0, len(task_ids), CHUNK):
        query = select(TaskRow).where(TaskRow.id.in_(task_ids[start : start + CHUNK]))
        rows.update({row.id: row for row in session.scalars(query)})
    return rows


def is_settled(
    row: TaskRow | None, project_id: int, task: Task, image_keys: Sequence[str] | None = None
) -> bool:
    """Whether ``settle`` would change nothing of a task that is there."""
    if row is None or row.project_id != project_id or row.removed_at is not None:
        return False
    created_at = task.created_at or row.created_at
    is_same = image_keys is None or row.source == source_in(task.data, created_at, image_keys)
    return is_same and row.created_at == created_at and row.data == task.data


def settle(
    session: Session,
    project_id: int,
    tasks: Sequence[Task],
    image_keys: Sequence[str] | None = None,
) -> dict[int, TaskRow]:
    """Makes the tasks' rows say what Label Studio says of them now; new ones are added.

    A row of another task (made at another time, or in another project) or of other images is made
    this one's: what was derived from the old one is dead from then on. A row whose ``created_at``
    is not known yet is taken for this task's as long as its images are the same.

    Args:
        session: Of the store.
        project_id: The project that has the tasks.
        tasks: Each once. One without ``created_at`` is compared by its images.
        image_keys: The fields of its images; None when the labelling interface can't be read: then
            what is known of a task stays while its data do.

    Returns:
        The rows by task id.
    """
    rows = rows_of(session, [task.id for task in tasks])
    replaced: list[int] = []
    changed: list[int] = []
    adopted: dict[int, str] = {}
    for task in tasks:
        row = rows.get(task.id)
        if row is None:
            row = rows[task.id] = TaskRow(
                id=task.id, project_id=project_id, data=task.data, created_at=task.created_at
            )
            if image_keys is not None:
                row.source = source_in(task.data, task.created_at, image_keys)
            session.add(row)
            continue
        before = row.source
        created_at = task.created_at or row.created_at
        is_other = row.project_id != project_id or "" != row.created_at != created_at
        if image_keys is not None:
            source = source_in(task.data, created_at, image_keys)
            is_same = before == source or source_in(task.data, row.created_at, image_keys) == (
                before or source_in(row.data, row.created_at, image_keys)
            )
        else:
            is_same = row.data == task.data
            source = before if is_same and not is_other else ""
        if is_other:
            replaced.append(task.id)
        elif not is_same:
            changed.append(task.id)
        elif before != source:
            adopted[task.id] = before
        if row.data != task.data:
            row.data = task.data
        row.project_id, row.created_at, row.source = project_id, created_at, source
    session.flush()
    _adopt(session, rows, adopted)
    _wipe(session, rows, [*replaced, *changed])
    for task_id in changed:
        # Maybe of a time before the project was disconnected, of which nothing is known here.
        rows[task_id].to_withdraw = True
    _drop_annotations(session, rows, replaced)
    return rows


def _adopt(session: Session, rows: Mapping[int, TaskRow], adopted: Mapping[int, str]) -> None:
    """Gives predictions of the time before a source was known the one that is known now."""
    unknown = [task_id for task_id, before in adopted.items() if not before]
    now = select(TaskRow.source).where(TaskRow.id == PredictionRow.task_id).scalar_subquery()
    for start in range(0, len(unknown), CHUNK):
        is_theirs = PredictionRow.task_id.in_(unknown[start : start + CHUNK])
        session.execute(
            update(PredictionRow)
            .where(is_theirs, PredictionRow.source == "")
            .values(source=now)
            .execution_options(synchronize_session=False)
        )
    for task_id, before in adopted.items():
        if before:
            session.execute(
                update(PredictionRow)
                .where(PredictionRow.task_id == task_id, PredictionRow.source == before)
                .values(source=rows[task_id].source)
                .execution_options(synchronize_session=False)
            )


def _wipe(session: Session, rows: Mapping[int, TaskRow], task_ids: Sequence[int]) -> None:
    """Forgets what was derived from the images that these tasks had before."""
    for task_id in task_ids:
        row = rows[task_id]
        row.image_hash = row.image_tag = ""
        row.image_checked_at = 0.0
    for start in range(0, len(task_ids), CHUNK):
        ids = task_ids[start : start + CHUNK]
        for task_id in _predicted(session, ids):
            rows[task_id].to_withdraw = True
        session.execute(
            update(ProblemRow)
            .where(ProblemRow.task_id.in_(ids), ProblemRow.resolved_at.is_(None))
            .values(resolved_at=clock.now())
        )


def _drop_annotations(
    session: Session, rows: Mapping[int, TaskRow], task_ids: Sequence[int]
) -> None:
    """Marks the annotations of tasks that are gone as removed, though their ids live on."""
    for task_id in task_ids:
        rows[task_id].state = TaskState.UNLABELLED
    for start in range(0, len(task_ids), CHUNK):
        session.execute(
            update(AnnotationRow)
            .where(
                AnnotationRow.task_id.in_(task_ids[start : start + CHUNK]),
                AnnotationRow.removed_at.is_(None),
            )
            .values(removed_at=clock.now())
        )


def _predicted(session: Session, task_ids: Collection[int]) -> list[int]:
    query = select(PredictionRow.task_id).where(PredictionRow.task_id.in_(task_ids)).distinct()
    return list(session.scalars(query))


def keep_image(session: Session, task: TaskRow) -> bool:
    """Stores what was seen of a task's images (``image_hash``, ``image_tag``) just now.

    Args:
        session: Of the store.
        task: As it was when they were fetched; nothing is stored when it is another one by now.

    Returns:
        Whether the images are others than before, under the same address.
    """
    row = session.get(TaskRow, task.id)
    if row is None or row.source != task.source:
        return False
    is_other = row.image_hash not in ("", task.image_hash)
    if is_other:
        of_other_image = select(PredictionRow.id).where(
            PredictionRow.task_id == task.id,
            PredictionRow.image_hash.not_in(("", task.image_hash)),
        )
        row.to_withdraw |= session.scalar(of_other_image.limit(1)) is not None
    row.image_hash, row.image_tag = task.image_hash, task.image_tag
    row.image_checked_at = clock.now()
    return is_other


def mark_checked(session: Session, task_ids: Sequence[int]) -> None:
    """Notes that the images of tasks were seen just now to be the same as before."""
    for start in range(0, len(task_ids), CHUNK):
        session.execute(
            update(TaskRow)
            .where(TaskRow.id.in_(task_ids[start : start + CHUNK]))
            .values(image_checked_at=clock.now())
            .execution_options(synchronize_session=False)
        )
