"""Predictions of model versions, and what of the pool is still to be scored or pushed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from backend.store import clock
from backend.store.models import JsonDict, PredictionRow, ProjectRow, TaskRow
from domain.states import TaskState

logger = logging.getLogger(__name__)

# A task that could not be predicted (its image host was down, say) is tried again after the first
# of these pauses, then the next; past the last one it is set aside. In all a day and five hours.
RETRY_PAUSES_S = (600.0, 3_600.0, 4 * 3_600.0, 24 * 3_600.0)
_PAUSE_OF_ROW = case(
    dict(enumerate(RETRY_PAUSES_S, start=1)),
    value=PredictionRow.attempts,
    else_=RETRY_PAUSES_S[-1],
)
# The error of a prediction that Label Studio refused: the same one would be refused again.
DROPPED = "Label Studio did not keep this prediction."


def is_live() -> ColumnElement[bool]:
    """Whether a prediction is of its task (joined) as it is now: dead ones count as none."""
    return and_(
        PredictionRow.source == TaskRow.source,
        or_(
            PredictionRow.image_hash == "",
            TaskRow.image_hash == "",
            PredictionRow.image_hash == TaskRow.image_hash,
        ),
    )


def unscored_tasks(
    session: Session,
    project_id: int,
    version_id: int,
    limit: int,
    *,
    retry: bool = True,
    former_id: int | None = None,
) -> list[TaskRow]:
    """Unlabelled tasks that the version has not seen yet, then failed ones that are due again.

    Without ``retry`` only the former: tasks that fail for hours must not keep a run from its end.

    Args:
        session: Of the store.
        project_id: Whose tasks.
        version_id: Which version's.
        limit: Of tasks.
        retry: See above.
        former_id: A version whose lowest scores come first, as Label Studio serves them; what it
            has not seen follows by id. None: all by id.
    """
    is_wanted: ColumnElement[bool] = PredictionRow.id.is_(None)
    if retry:
        is_failed = and_(
            PredictionRow.error.not_in(("", DROPPED)),
            clock.has_come(PredictionRow.not_before, _PAUSE_OF_ROW),
        )
        is_wanted = or_(is_wanted, is_failed)
    query = (
        select(TaskRow)
        .outerjoin(
            PredictionRow,
            and_(
                PredictionRow.task_id == TaskRow.id,
                PredictionRow.version_id == version_id,
                is_live(),
            ),
        )
        .where(
            TaskRow.project_id == project_id,
            TaskRow.state == TaskState.UNLABELLED,
            TaskRow.removed_at.is_(None),
            is_wanted,
        )
        .limit(limit)
    )
    order: list[ColumnElement[Any]] = [PredictionRow.id.is_not(None)]
    if former_id is not None:
        former = aliased(PredictionRow)
        query = query.outerjoin(
            former,
            and_(
                former.task_id == TaskRow.id,
                former.version_id == former_id,
                former.error == "",
                former.source == TaskRow.source,
            ),
        )
        order += [former.score.is_(None), former.score.asc()]
    return list(session.scalars(query.order_by(*order, TaskRow.id)))


def save(session: Session, prediction: PredictionRow) -> None:
    """Writes a prediction; an older one of the same task and version is replaced.

    Of two workers that predict a task at the same moment, one's answer is kept. Nothing is written
    when the task has become another one since.
    """
    source = session.scalar(select(TaskRow.source).where(TaskRow.id == prediction.task_id))
    if source is not None and source != (prediction.source or ""):
        logger.info("Task %d has changed while it was predicted.", prediction.task_id)
        return
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


def next_try(attempts: int) -> float | None:
    """When a task that has failed so often is tried again; None: it is set aside."""
    if attempts > len(RETRY_PAUSES_S):
        return None
    return clock.now() + RETRY_PAUSES_S[attempts - 1]


def retry_failed(session: Session, version_id: int) -> int:
    """Makes all failed tasks due again, those set aside too; how many."""
    failed = (
        PredictionRow.version_id == version_id,
        PredictionRow.error.not_in(("", DROPPED)),
    )
    n_failed = session.scalar(select(func.count(PredictionRow.id)).where(*failed)) or 0
    session.execute(update(PredictionRow).where(*failed).values(not_before=0.0, attempts=0))
    return n_failed


def find(session: Session, version_id: int, task_ids: Sequence[int]) -> dict[int, PredictionRow]:
    """The version's predictions of these tasks as they are now, by task id."""
    found: dict[int, PredictionRow] = {}
    for start in range(0, len(task_ids), 500):
        query = (
            select(PredictionRow)
            .join(TaskRow, TaskRow.id == PredictionRow.task_id)
            .where(
                PredictionRow.version_id == version_id,
                PredictionRow.task_id.in_(task_ids[start : start + 500]),
                is_live(),
            )
        )
        found.update({row.task_id: row for row in session.scalars(query)})
    return found


def live_ids(session: Session, prediction_ids: Sequence[int]) -> set[int]:
    """Those of these predictions that are there, and of their tasks as they are now."""
    found: set[int] = set()
    for start in range(0, len(prediction_ids), 500):
        query = (
            select(PredictionRow.id)
            .join(TaskRow, TaskRow.id == PredictionRow.task_id)
            .where(PredictionRow.id.in_(prediction_ids[start : start + 500]), is_live())
        )
        found.update(session.scalars(query))
    return found


def results_of_task(session: Session, task_id: int) -> list[JsonDict]:
    """The regions that any version ever predicted for a task, as Label Studio gets them."""
    query = select(PredictionRow.result).where(
        PredictionRow.task_id == task_id, PredictionRow.error == ""
    )
    return [entry for result in session.scalars(query) for entry in result or ()]


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
    known = (
        select(PredictionRow.task_id)
        .join(TaskRow, TaskRow.id == PredictionRow.task_id)
        .where(PredictionRow.version_id == version_id, is_live())
    )
    query = select(func.count(TaskRow.id)).where(
        TaskRow.project_id == project_id,
        TaskRow.state == TaskState.UNLABELLED,
        TaskRow.removed_at.is_(None),
        TaskRow.id.not_in(known),
    )
    return session.scalar(query) or 0


def count_failed(session: Session, project_id: int, version_id: int) -> int:
    """Unlabelled tasks that the version failed on, whether tried again or set aside."""
    query = (
        select(func.count(PredictionRow.id))
        .join(TaskRow, TaskRow.id == PredictionRow.task_id)
        .where(
            PredictionRow.version_id == version_id,
            PredictionRow.error.not_in(("", DROPPED)),
            TaskRow.project_id == project_id,
            TaskRow.state == TaskState.UNLABELLED,
            TaskRow.removed_at.is_(None),
        )
    )
    return session.scalar(query) or 0


def is_push_due(session: Session, version_id: int, after_s: float) -> bool:
    """Whether a prediction still waits to be pushed so many seconds after it was made."""
    query = select(PredictionRow.id).join(TaskRow, TaskRow.id == PredictionRow.task_id)
    is_due = clock.has_come(PredictionRow.created_at + after_s, after_s)
    query = query.where(*_waits_for_push(version_id), is_due)
    return session.scalar(query.limit(1)) is not None


def _waits_for_push(version_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        PredictionRow.version_id == version_id,
        PredictionRow.published_at.is_(None),
        PredictionRow.error == "",
        PredictionRow.held == "",
        TaskRow.removed_at.is_(None),
        TaskRow.state == TaskState.UNLABELLED,
        # What Label Studio may still hold of the task before would pass for it.
        TaskRow.to_withdraw.is_(False),
        is_live(),
    )


def mark_published(session: Session, version_id: int, task_ids: Iterable[int]) -> None:
    """Marks predictions that Label Studio was seen to hold."""
    ids = list(task_ids)
    is_theirs = select(TaskRow.id).where(TaskRow.to_withdraw.is_(False))
    for start in range(0, len(ids), 500):
        session.execute(
            update(PredictionRow)
            .where(
                PredictionRow.version_id == version_id,
                PredictionRow.task_id.in_(ids[start : start + 500]),
                PredictionRow.published_at.is_(None),
                PredictionRow.task_id.in_(is_theirs),
            )
            .values(published_at=clock.now())
            .execution_options(synchronize_session=False)
        )


def count_held(session: Session, version_id: int) -> int:
    """Predictions that Label Studio was seen to hold, of tasks that it still has."""
    query = (
        select(func.count(PredictionRow.id))
        .join(TaskRow, TaskRow.id == PredictionRow.task_id)
        .where(
            PredictionRow.version_id == version_id,
            PredictionRow.published_at.is_not(None),
            PredictionRow.source == TaskRow.source,
            TaskRow.removed_at.is_(None),
        )
    )
    return session.scalar(query) or 0


def mark_unpublished(session: Session, version_ids: Iterable[int], task_ids: Iterable[int]) -> None:
    """Marks predictions of versions that Label Studio holds no more of some tasks."""
    versions, ids = list(version_ids), list(task_ids)
    for start in range(0, len(ids), 500):
        session.execute(
            update(PredictionRow)
            .where(
                PredictionRow.version_id.in_(versions),
                PredictionRow.task_id.in_(ids[start : start + 500]),
                PredictionRow.published_at.is_not(None),
            )
            .values(published_at=None)
            .execution_options(synchronize_session=False)
        )


def superseded(
    session: Session, version_id: int, other_ids: Iterable[int], limit: int
) -> list[int]:
    """Tasks of which Label Studio holds the version's prediction and another version's, too."""
    newer = aliased(PredictionRow)
    query = (
        select(PredictionRow.task_id)
        .join(newer, newer.task_id == PredictionRow.task_id)
        .where(
            PredictionRow.version_id.in_(list(other_ids)),
            PredictionRow.published_at.is_not(None),
            newer.version_id == version_id,
            newer.published_at.is_not(None),
        )
        .distinct()
        .order_by(PredictionRow.task_id)
        .limit(limit)
    )
    return list(session.scalars(query))


def mark_lost(session: Session, version_id: int, held: Collection[int]) -> None:
    """Marks predictions that Label Studio was seen not to hold any more: they are pushed again.

    Args:
        session: Of the store.
        version_id: Which version's.
        held: The tasks whose prediction it holds.
    """
    query = select(PredictionRow.id, PredictionRow.task_id).where(
        PredictionRow.version_id == version_id, PredictionRow.published_at.is_not(None)
    )
    lost = [row.id for row in session.execute(query) if row.task_id not in held]
    for start in range(0, len(lost), 500):
        session.execute(
            update(PredictionRow)
            .where(PredictionRow.id.in_(lost[start : start + 500]))
            .values(published_at=None)
            .execution_options(synchronize_session=False)
        )


def tasks_to_withdraw(session: Session, project_id: int, limit: int) -> dict[int, str]:
    """Task id -> source, of tasks of which Label Studio may hold predictions of other images."""
    query = select(TaskRow.id, TaskRow.source).where(
        TaskRow.project_id == project_id,
        TaskRow.to_withdraw.is_(True),
        TaskRow.removed_at.is_(None),
    )
    return {row.id: row.source for row in session.execute(query.limit(limit))}


def projects_to_withdraw(session: Session) -> list[int]:
    """Connected projects with ``tasks_to_withdraw``."""
    query = (
        select(TaskRow.project_id)
        .join(ProjectRow, ProjectRow.id == TaskRow.project_id)
        .where(TaskRow.to_withdraw.is_(True), TaskRow.removed_at.is_(None))
    )
    return sorted(session.scalars(query.distinct()))


def mark_gone(session: Session, withdrawn: Mapping[int, str]) -> None:
    """Forgets the dead predictions of tasks of which Label Studio holds none any more.

    Those that live are pushed again. ``withdrawn`` is what ``tasks_to_withdraw`` gave; a task that
    has changed once more since is left to the next time.
    """
    for task_id, source in withdrawn.items():
        row = session.get(TaskRow, task_id)
        if row is None or row.source != source:
            continue
        row.to_withdraw = False
        session.flush()
        live = (
            select(PredictionRow.id)
            .join(TaskRow, TaskRow.id == PredictionRow.task_id)
            .where(TaskRow.id == task_id, is_live())
        )
        ids = list(session.scalars(live))
        is_theirs = PredictionRow.task_id == task_id
        session.execute(delete(PredictionRow).where(is_theirs, PredictionRow.id.not_in(ids)))
        session.execute(update(PredictionRow).where(is_theirs).values(published_at=None))


def mark_dropped(session: Session, prediction_id: int) -> None:
    """Marks a prediction that Label Studio did not keep; it is not sent again."""
    row = session.get(PredictionRow, prediction_id)
    if row is not None:  # else it was replaced meanwhile, and the new one is not pushed yet
        row.error = DROPPED


def counts(session: Session, version_id: int) -> tuple[int, int, int]:
    """(scored, published, failed) predictions of a version; dead ones are not counted.

    Published are those that Label Studio still has a task for.
    """
    is_there = TaskRow.removed_at.is_(None)
    query = (
        select(
            func.count(PredictionRow.id),
            func.count(case((is_there, PredictionRow.published_at))),
            func.count(func.nullif(PredictionRow.error, "")),
        )
        .outerjoin(TaskRow, TaskRow.id == PredictionRow.task_id)
        .where(PredictionRow.version_id == version_id, or_(TaskRow.id.is_(None), is_live()))
    )
    scored, published, failed = session.execute(query).one()
    return scored, published, failed
