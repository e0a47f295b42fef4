"""Rows of tasks that nobody asks for any more, deleted a portion at a time.

Whatever a label, a figure or a manifest may need stays: no row of a task that anybody has ever
annotated goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from backend.store.models import AnnotationRow, PredictionRow, TaskRow, VersionRow
from backend.store.tasks.embeddings import EmbeddingRow
from domain.states import TaskState

KEPT_S = 30 * 24 * 3600.0
"""After a version was pruned, or a task deleted in Label Studio, for so long."""


def find_predictions(session: Session, now: float, limit: int) -> list[int]:
    """Ids of predictions of pruned versions and of deleted tasks; at most ``limit`` of each kind.

    A pruned version can't serve again, so they could go out no more. What Label Studio may hold
    stays, and so does what an annotation may have begun with: it tells who drew a region.
    """
    pruned = select(VersionRow.id).where(VersionRow.pruned_at < now - KEPT_S)
    of_tasks = select(PredictionRow.id).join(TaskRow, TaskRow.id == PredictionRow.task_id)
    of_tasks = of_tasks.where(*_is_idle()).limit(limit)
    found = set(
        session.scalars(
            of_tasks.where(
                PredictionRow.version_id.in_(pruned), TaskRow.state == TaskState.UNLABELLED
            )
        )
    )
    found.update(session.scalars(of_tasks.where(TaskRow.removed_at < now - KEPT_S)))
    return sorted(found)


def forget_predictions(session: Session, ids: Sequence[int]) -> None:
    """Deletes predictions, but none whose task was annotated meanwhile."""
    session.execute(delete(PredictionRow).where(PredictionRow.id.in_(ids), *_is_idle()))


def _is_idle() -> tuple[ColumnElement[bool], ...]:
    was_annotated = (
        select(AnnotationRow.id)
        .where(
            AnnotationRow.project_id == PredictionRow.project_id,
            AnnotationRow.task_id == PredictionRow.task_id,
        )
        .exists()
    )
    return PredictionRow.published_at.is_(None), ~was_annotated


def find_embeddings(session: Session, now: float, limit: int) -> list[tuple[int, int]]:
    """(project, task) of embeddings of tasks that are gone. One that comes back gets another.

    Gone is also who was never read, or has become another project's.
    """
    query = (
        select(EmbeddingRow.project_id, EmbeddingRow.task_id)
        .outerjoin(TaskRow, TaskRow.id == EmbeddingRow.task_id)
        .where(
            or_(
                TaskRow.id.is_(None),
                TaskRow.project_id != EmbeddingRow.project_id,
                TaskRow.removed_at < now - KEPT_S,
            )
        )
    )
    return [(project_id, task_id) for project_id, task_id in session.execute(query.limit(limit))]


def forget_embeddings(session: Session, keys: Sequence[tuple[int, int]]) -> None:
    """Deletes the embeddings of (project, task)."""
    tasks_of: defaultdict[int, list[int]] = defaultdict(list)
    for project_id, task_id in keys:
        tasks_of[project_id].append(task_id)
    for project_id, ids in tasks_of.items():
        session.execute(
            delete(EmbeddingRow).where(
                EmbeddingRow.project_id == project_id, EmbeddingRow.task_id.in_(ids)
            )
        )
