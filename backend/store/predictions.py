"""Predictions of model versions, and what of the pool is still to be scored or pushed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.store.models import PredictionRow, TaskRow
from domain.status import TaskState

logger = logging.getLogger(__name__)

# A task that could not be predicted (its image host was down, say) is tried again after this.
RETRY_FAILED_S = 600.0
# The error of a prediction that Label Studio refused: the same one would be refused again.
DROPPED = "Label Studio did not keep this prediction."


def unscored_tasks(
    session: Session, project_id: int, version_id: int, limit: int, *, retry: bool = True
) -> list[TaskRow]:
    """Unlabelled tasks that the version has not seen yet, then those it failed on a while ago.

    Without ``retry`` only the former: tasks that fail for hours must not keep a run from its end.
    """
    is_wanted: ColumnElement[bool] = PredictionRow.id.is_(None)
    if retry:
        is_failed = and_(
            PredictionRow.error.not_in(("", DROPPED)),
            PredictionRow.created_at <= time.time() - RETRY_FAILED_S,
        )
        is_wanted = or_(is_wanted, is_failed)
    query = (
        select(TaskRow)
        .outerjoin(
            PredictionRow,
            and_(PredictionRow.task_id == TaskRow.id, PredictionRow.version_id == version_id),
        )
        .where(
            TaskRow.project_id == project_id,
            TaskRow.state == TaskState.UNLABELLED,
            TaskRow.removed_at.is_(None),
            is_wanted,
        )
        .order_by(PredictionRow.id.is_not(None), TaskRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def save(session: Session, prediction: PredictionRow) -> None:
    """Writes a prediction; an older one of the same task and version is replaced.

    Of two workers that predict a task at the same moment, one's answer is kept.
    """
    old = session.scalar(
        select(PredictionRow).where(
            PredictionRow.task_id == prediction.task_id,
            PredictionRow.version_id == prediction.version_id,
        )
    )
    if old is not None:
        session.delete(old)
        session.flush()
    try:
        with session.begin_nested():
            session.add(prediction)
    except IntegrityError:
        logger.info("Task %d was predicted by another worker too.", prediction.task_id)


def find(session: Session, version_id: int, task_ids: Sequence[int]) -> dict[int, PredictionRow]:
    """The version's predictions of these tasks, by task id."""
    found: dict[int, PredictionRow] = {}
    for start in range(0, len(task_ids), 500):
        query = select(PredictionRow).where(
            PredictionRow.version_id == version_id,
            PredictionRow.task_id.in_(task_ids[start : start + 500]),
        )
        found.update({row.task_id: row for row in session.scalars(query)})
    return found


def unpublished(session: Session, version_id: int, limit: int) -> list[PredictionRow]:
    """Predictions that are not pushed yet, without error and not held, of live unlabelled tasks."""
    query = select(PredictionRow).join(TaskRow, TaskRow.id == PredictionRow.task_id)
    query = query.where(*_waits_for_push(version_id)).order_by(PredictionRow.id).limit(limit)
    return list(session.scalars(query))


def count_unpublished(session: Session, version_id: int) -> int:
    """How many ``unpublished`` would give without a limit."""
    query = select(func.count(PredictionRow.id)).join(TaskRow, TaskRow.id == PredictionRow.task_id)
    return session.scalar(query.where(*_waits_for_push(version_id))) or 0


def count_unscored(session: Session, project_id: int, version_id: int) -> int:
    """Unlabelled tasks that the version has not seen yet."""
    known = select(PredictionRow.task_id).where(PredictionRow.version_id == version_id)
    query = select(func.count(TaskRow.id)).where(
        TaskRow.project_id == project_id,
        TaskRow.state == TaskState.UNLABELLED,
        TaskRow.removed_at.is_(None),
        TaskRow.id.not_in(known),
    )
    return session.scalar(query) or 0


def is_push_due(session: Session, version_id: int, before: float) -> bool:
    """Whether a prediction made before a time still waits to be pushed."""
    query = select(PredictionRow.id).join(TaskRow, TaskRow.id == PredictionRow.task_id)
    query = query.where(*_waits_for_push(version_id), PredictionRow.created_at < before)
    return session.scalar(query.limit(1)) is not None


def _waits_for_push(version_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        PredictionRow.version_id == version_id,
        PredictionRow.published_at.is_(None),
        PredictionRow.error == "",
        PredictionRow.held == "",
        TaskRow.removed_at.is_(None),
        TaskRow.state == TaskState.UNLABELLED,
    )


def mark_published(session: Session, version_id: int, task_ids: Iterable[int]) -> None:
    """Marks predictions that Label Studio was seen to hold."""
    ids = list(task_ids)
    for start in range(0, len(ids), 500):
        session.execute(
            update(PredictionRow)
            .where(
                PredictionRow.version_id == version_id,
                PredictionRow.task_id.in_(ids[start : start + 500]),
                PredictionRow.published_at.is_(None),
            )
            .values(published_at=time.time())
        )


def mark_dropped(session: Session, prediction_id: int) -> None:
    """Marks a prediction that Label Studio did not keep; it is not sent again."""
    row = session.get(PredictionRow, prediction_id)
    if row is not None:  # else it was replaced meanwhile, and the new one is not pushed yet
        row.error = DROPPED


def counts(session: Session, version_id: int) -> tuple[int, int, int]:
    """(scored, published, failed) predictions of a version."""
    query = select(
        func.count(PredictionRow.id),
        func.count(PredictionRow.published_at),
        func.count(func.nullif(PredictionRow.error, "")),
    ).where(PredictionRow.version_id == version_id)
    scored, published, failed = session.execute(query).one()
    return scored, published, failed
