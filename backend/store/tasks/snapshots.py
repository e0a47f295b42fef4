"""Snapshots of Label Studio's truth: tasks and annotations as they exist now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, defer

from backend.store import clock, identity
from backend.store.identity import CHUNK
from backend.store.models import AnnotationRow, TaskRow
from converters.label_studio.same_label import is_same_label
from converters.painting.combining import choose
from converters.painting.policies import AnnotatorPolicy
from domain.annotation import AnnotatedTask, Annotation, Task
from domain.errors import AnnotationError, DocumentError
from domain.hashing import content_hash
from domain.states import TaskState


class Hashed(Protocol):
    """An annotation's row, or what of it was read."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def content_hash(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """What one reading of a project found."""

    tasks: int
    labelled: int
    skipped: int
    changed: int


def state_of(annotations: Sequence[Annotation]) -> TaskState:
    """LABELLED with one submitted annotation (an empty one too), SKIPPED if all were cancelled."""
    if any(not a.was_cancelled for a in annotations):
        return TaskState.LABELLED
    return TaskState.SKIPPED if annotations else TaskState.UNLABELLED


def write_tasks(
    session: Session,
    project_id: int,
    tasks: Sequence[Task],
    image_keys: Sequence[str] | None = None,
    changed_tasks: set[int] | None = None,
) -> int:
    """Upserts tasks with all their annotations; returns how many annotations were new or changed.

    A row of a task that had the id before becomes this one's (``identity.settle``, which
    ``image_keys`` are for). Annotations of these tasks that are not given are marked as removed.
    ``changed_tasks`` gets the ids of the tasks whose annotations were.
    """
    rows = identity.settle(session, project_id, tasks, image_keys)
    known = _known_annotations(session, tasks)
    noted = set[int]() if changed_tasks is None else changed_tasks
    changed = 0
    for task in tasks:
        row = rows[task.id]
        row.state = state_of(task.annotations)
        row.removed_at = None
        for annotation in task.annotations:
            former = known.pop(annotation.id, None)
            if _write_annotation(session, project_id, former, annotation):
                changed += 1
                noted.add(task.id)
    now = clock.now()
    for row_gone in known.values():
        if row_gone.removed_at is None:
            row_gone.removed_at = now
            changed += 1
            noted.add(row_gone.task_id)
    return changed


def _known_annotations(session: Session, tasks: Sequence[Task]) -> dict[int, AnnotationRow]:
    """The rows of the tasks' annotations, and those that have the ids of their new ones."""
    task_ids = [task.id for task in tasks]
    own_ids = [annotation.id for task in tasks for annotation in task.annotations]
    known: dict[int, AnnotationRow] = {}
    for column, ids in ((AnnotationRow.task_id, task_ids), (AnnotationRow.id, own_ids)):
        for start in range(0, len(ids), CHUNK):
            # Their regions, nearly all of the bytes, are only ever replaced here.
            query = select(AnnotationRow).options(defer(AnnotationRow.result))
            found = session.scalars(query.where(column.in_(ids[start : start + CHUNK])))
            known.update({row.id: row for row in found})
    return known


def _write_annotation(
    session: Session, project_id: int, row: AnnotationRow | None, annotation: Annotation
) -> bool:
    """Whether it is new, or another label than before."""
    result_hash = content_hash(annotation.result)
    values: dict[str, Any] = {
        "task_id": annotation.task_id,
        "project_id": project_id,
        "content_hash": result_hash,
        "result_hash": result_hash,
        "was_cancelled": annotation.was_cancelled,
        "ground_truth": annotation.ground_truth,
        "completed_by": annotation.completed_by,
        "created_at": annotation.created_at,
        "updated_at": annotation.updated_at,
        "lead_time_s": annotation.lead_time_s,
        "updated_by": annotation.updated_by,
        "parent_prediction": annotation.parent_prediction,
    }
    if row is None:
        session.add(AnnotationRow(id=annotation.id, result=annotation.result, **values))
        return True
    is_it = _is_it(row, annotation)
    is_written_anew = result_hash != _hash_as_written(row)
    if is_it and (not is_written_anew or _is_saved_again(row, annotation)):
        # Somebody opened and saved it, and has drawn nothing: it stays the label that it was.
        values["content_hash"] = row.content_hash
    is_changed = (
        row.content_hash != values["content_hash"]
        or row.was_cancelled != annotation.was_cancelled
        or row.removed_at is not None
        or not is_it  # equal words about another image are news
    )
    if is_changed or is_written_anew:
        row.result = annotation.result
    if is_it:
        values["parent_prediction"] = annotation.parent_prediction or row.parent_prediction
    row.removed_at = None
    for key, value in values.items():
        setattr(row, key, value)
    return is_changed


def _is_it(row: AnnotationRow, annotation: Annotation) -> bool:
    """Whether a row is of this annotation, and not of one that had its id before."""
    return row.task_id == annotation.task_id and row.created_at == annotation.created_at


def _is_saved_again(row: AnnotationRow, annotation: Annotation) -> bool:
    """Whether nothing was drawn since it was read last."""
    try:
        return is_same_label(row.result, annotation.result)
    except DocumentError:
        return False  # nobody can read any more what it was: what it is takes its place


def _hash_as_written(row: AnnotationRow) -> str:
    """Of the regions as Label Studio wrote them when they were read last."""
    return row.result_hash or row.content_hash


def known_hashes(session: Session, task: Task) -> dict[int, str]:
    """The content hash of each annotation of a task as it is, by id: what a reading would keep."""
    known = _known_annotations(session, [task])
    found: dict[int, str] = {}
    for annotation in task.annotations:
        row, result_hash = known.get(annotation.id), content_hash(annotation.result)
        is_known = (
            row is not None
            and _is_it(row, annotation)
            and (result_hash == _hash_as_written(row) or _is_saved_again(row, annotation))
        )
        found[annotation.id] = row.content_hash if row is not None and is_known else result_hash
    return found


def live_tasks(session: Session, project_id: int, after_id: int = 0, last_id: int = 0) -> list[int]:
    """Ids of the tasks that are there, rising: after an id, up to another one unless that is 0."""
    query = select(TaskRow.id).where(
        TaskRow.project_id == project_id, TaskRow.removed_at.is_(None), TaskRow.id > after_id
    )
    if last_id:
        query = query.where(TaskRow.id <= last_id)
    return list(session.scalars(query.order_by(TaskRow.id)))


def remove_missing(session: Session, project_id: int, seen_task_ids: Iterable[int]) -> int:
    """Marks tasks (and their annotations) that Label Studio no longer has; returns how many."""
    gone = set(live_tasks(session, project_id)).difference(seen_task_ids)
    return remove_tasks(session, project_id, gone)


def remove_tasks(session: Session, project_id: int, task_ids: Collection[int]) -> int:
    """Marks tasks of a project, and their annotations, as removed; how many were there."""
    gone = sorted(set(task_ids).intersection(live_tasks(session, project_id)))
    now = clock.now()
    for start in range(0, len(gone), CHUNK):
        ids = gone[start : start + CHUNK]
        session.execute(update(TaskRow).where(TaskRow.id.in_(ids)).values(removed_at=now))
        session.execute(
            update(AnnotationRow)
            .where(AnnotationRow.task_id.in_(ids), AnnotationRow.removed_at.is_(None))
            .values(removed_at=now)
        )
    return len(gone)


def counts(session: Session, project_id: int) -> dict[TaskState, int]:
    """Live tasks per state; every state is present."""
    query = (
        select(TaskRow.state, func.count())
        .where(TaskRow.project_id == project_id, TaskRow.removed_at.is_(None))
        .group_by(TaskRow.state)
    )
    found = {TaskState(state): n for state, n in session.execute(query)}
    return {state: found.get(state, 0) for state in TaskState}


def submitted_annotations(
    session: Session, project_id: int, *, results: bool = True
) -> list[tuple[TaskRow, tuple[AnnotationRow, ...]]]:
    """(task, its submitted annotations, oldest first) of every labelled task, ordered by task.

    Without ``results`` the regions, nearly all of the bytes, stay in the store; ``with_results``
    reads them where they are needed.
    """
    query = (
        select(TaskRow, AnnotationRow)
        .join(AnnotationRow, AnnotationRow.task_id == TaskRow.id)
        .where(*is_submitted(project_id))
        .order_by(TaskRow.id, AnnotationRow.updated_at, AnnotationRow.id)
    )
    if not results:
        query = query.options(defer(AnnotationRow.result, raiseload=True))
    found: dict[int, tuple[TaskRow, list[AnnotationRow]]] = {}
    for task, annotation in session.execute(query):
        found.setdefault(task.id, (task, []))[1].append(annotation)
    return [(task, tuple(annotations)) for task, annotations in found.values()]


def chosen_annotations(
    session: Session, project_id: int, policy: AnnotatorPolicy, *, results: bool = True
) -> list[tuple[TaskRow, tuple[AnnotationRow, ...]]]:
    """(task, the annotations the policy needs, oldest first) of every labelled task."""
    return [
        (task, choose(annotations, policy))
        for task, annotations in submitted_annotations(session, project_id, results=results)
    ]


def chosen_of_task(
    session: Session, task: TaskRow, policy: AnnotatorPolicy
) -> tuple[AnnotationRow, ...]:
    """The annotations of one task that the policy needs, oldest first, with their regions."""
    query = select(AnnotationRow).join(TaskRow, AnnotationRow.task_id == TaskRow.id)
    query = query.where(*is_submitted(task.project_id), TaskRow.id == task.id)
    return choose(session.scalars(query), policy)


def chosen_hashes(
    session: Session, project_id: int, policy: AnnotatorPolicy
) -> dict[int, AnnotatedTask]:
    """What counts of the annotations of every labelled task, by its id.

    That is what ``chosen_annotations`` would give, read as plain values. It is asked for
    at every sync and every report.
    """
    return {
        task_id: annotated(rows, rows[-1].source)
        for task_id, rows in _chosen_values(session, project_id, policy).items()
    }


@dataclass(frozen=True, slots=True)
class LabelNow:
    """What counts of a task's annotations, and how it came to be.

    Attributes:
        annotated: The newest that counts, the hash over all that count, and the task's source.
        image_hash: Of the task's images; "" where they were not fetched.
        annotators: Label Studio's ids of who submitted what counts, each once.
        saved_at: When the last of it was saved, Label Studio's text.
        is_ground_truth: Whether any of it is marked so.
    """

    annotated: AnnotatedTask
    image_hash: str
    annotators: tuple[int, ...]
    saved_at: str
    is_ground_truth: bool


def labels_now(
    session: Session, project_id: int, policy: AnnotatorPolicy, task_ids: Collection[int]
) -> dict[int, LabelNow]:
    """What counts of these tasks, by id; those that are not labelled, or gone, are missing."""
    found: dict[int, LabelNow] = {}
    ids = sorted(task_ids)
    for start in range(0, len(ids), CHUNK):
        is_asked = TaskRow.id.in_(ids[start : start + CHUNK])
        for task_id, rows in _chosen_values(session, project_id, policy, is_asked).items():
            people = (row.completed_by for row in rows if row.completed_by is not None)
            found[task_id] = LabelNow(
                annotated=annotated(rows, rows[-1].source),
                image_hash=rows[-1].image_hash,
                annotators=tuple(dict.fromkeys(people)),
                saved_at=max(row.updated_at for row in rows),
                is_ground_truth=any(row.ground_truth for row in rows),
            )
    return found


def _chosen_values(
    session: Session, project_id: int, policy: AnnotatorPolicy, *conditions: ColumnElement[bool]
) -> dict[int, tuple[Any, ...]]:
    """Plain values of the annotations that the policy needs, oldest first, by task."""
    query = (
        select(
            AnnotationRow.task_id,
            AnnotationRow.id,
            AnnotationRow.content_hash,
            AnnotationRow.ground_truth,
            AnnotationRow.updated_at,
            AnnotationRow.completed_by,
            TaskRow.source,
            TaskRow.image_hash,
        )
        .join(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .where(*is_submitted(project_id), *conditions)
    )
    found: dict[int, list[Any]] = {}
    for row in session.execute(query):
        found.setdefault(row.task_id, []).append(row)
    return {task_id: choose(rows, policy) for task_id, rows in sorted(found.items())}


def is_submitted(project_id: int) -> tuple[ColumnElement[bool], ...]:
    """Whether an annotation, joined with its task, counts: both are there, and it is no skip."""
    return (
        TaskRow.project_id == project_id,
        TaskRow.removed_at.is_(None),
        AnnotationRow.removed_at.is_(None),
        AnnotationRow.was_cancelled.is_(False),
    )


def with_results(
    session: Session, annotations: Sequence[AnnotationRow]
) -> tuple[AnnotationRow, ...]:
    """The same annotations with their regions, read now; those of one task.

    Raises:
        AnnotationError: One of them has become another task's meanwhile.
    """
    task_id = annotations[0].task_id
    ids = [annotation.id for annotation in annotations]
    query = select(AnnotationRow).where(AnnotationRow.id.in_(ids), AnnotationRow.task_id == task_id)
    found = {row.id: row for row in session.scalars(query)}
    if len(found) < len(ids):
        raise AnnotationError(
            task_id,
            "changed",
            "it was deleted or replaced while it was being prepared.",
            remedy="The next training finds what is there now.",
        )
    return tuple(found[annotation_id] for annotation_id in ids)


def hash_of(annotations: Sequence[Hashed]) -> str:
    """Content hash over the annotations behind one case; of a single one its own.

    Who saved theirs last is of no importance: all of them count alike.
    """
    if len(annotations) == 1:
        return annotations[0].content_hash
    return content_hash(sorted([a.id, a.content_hash] for a in annotations))


def annotated(annotations: Sequence[Hashed], source: str) -> AnnotatedTask:
    """What a run keeps of the annotations that count of a task, one or more, in any order."""
    return AnnotatedTask(max(a.id for a in annotations), hash_of(annotations), source)


def skipped_tasks(session: Session, project_id: int) -> list[int]:
    """Ids of live tasks whose every annotation is a skip."""
    query = select(TaskRow.id).where(
        TaskRow.project_id == project_id,
        TaskRow.removed_at.is_(None),
        TaskRow.state == TaskState.SKIPPED,
    )
    return list(session.scalars(query.order_by(TaskRow.id)))
