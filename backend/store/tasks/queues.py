"""Queues: which task stands in whose tab, since when, why, and how it left."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ForeignKey,
    Index,
    String,
    Text,
    and_,
    delete,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from active_learning.measures import ImageMeasures
from backend.store import clock
from backend.store.models import AnnotationRow, Base, PredictionRow, TaskRow
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks.predictions import is_live
from domain.queues import QueueArm, QueueExit
from domain.states import TaskState


class QueueEntryRow(Base):
    """One draw of a task for an annotator. Kept for good: estimates are made of it.

    ``annotator_id`` is whose tab has the task, Label Studio's id of the user. ``batch`` numbers the
    draws of a project; ``version_id`` served when it was drawn, ``strategy`` is the one that really
    acted. A task that the control arm drew while it stood in a queue has a row of each arm there.
    ``source`` is the task's: Label Studio gives the ids of deleted tasks to new ones. ``exit`` is
    "" while the task is in the queue.
    """

    __tablename__ = "queue_entry"
    __table_args__ = (
        Index("ix_queue_entry_open", "project_id", "left_at"),
        Index("ix_queue_entry_batch", "project_id", "batch"),
        Index(
            "uq_queue_entry_open",
            "project_id",
            "task_id",
            "arm",
            "batch",
            unique=True,
            sqlite_where=text("left_at IS NULL"),
            postgresql_where=text("left_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    annotator_id: Mapped[int]
    task_id: Mapped[int]
    source: Mapped[str] = mapped_column(String(64))
    batch: Mapped[int]
    arm: Mapped[QueueArm] = mapped_column(String(16))
    version_id: Mapped[int | None] = mapped_column(ForeignKey("model_version.id"), default=None)
    strategy: Mapped[str] = mapped_column(String(64))
    drawn_at: Mapped[float] = mapped_column(default=clock.now)
    left_at: Mapped[float | None] = mapped_column(default=None)
    exit: Mapped[QueueExit] = mapped_column(String(16), default=QueueExit.NONE)


class QueueTabRow(Base):
    """An annotator's tab in Label Studio. ``name`` is what it calls them."""

    __tablename__ = "queue_tab"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    annotator_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    view_id: Mapped[int]


@dataclass(frozen=True, slots=True)
class PoolTask:
    """An unlabelled task; what the version said of it is None where it has not predicted it."""

    id: int
    source: str
    score: float | None
    measures: ImageMeasures | None


def open_entries(session: Session, project_id: int) -> list[QueueEntryRow]:
    """What stands in the queues of a project, in the order drawn."""
    query = select(QueueEntryRow).where(
        QueueEntryRow.project_id == project_id, QueueEntryRow.left_at.is_(None)
    )
    return list(session.scalars(query.order_by(QueueEntryRow.id)))


def settle(session: Session, project_id: int) -> int:
    """Lets the tasks leave that people have labelled or skipped, or that are gone; how many."""
    query = (
        select(QueueEntryRow, TaskRow)
        .outerjoin(TaskRow, TaskRow.id == QueueEntryRow.task_id)
        .where(QueueEntryRow.project_id == project_id, QueueEntryRow.left_at.is_(None))
    )
    n_left = 0
    for entry, task in session.execute(query):
        found = _exit_of(entry, task)
        if found:
            leave([entry], found)
            n_left += 1
    return n_left


def _exit_of(entry: QueueEntryRow, task: TaskRow | None) -> QueueExit:
    is_same = task is not None and task.source == entry.source
    if task is None or not is_same or task.removed_at is not None:
        return QueueExit.GONE
    exits = {TaskState.LABELLED: QueueExit.LABELLED, TaskState.SKIPPED: QueueExit.SKIPPED}
    return exits.get(TaskState(task.state), QueueExit.NONE)


def reclaim(session: Session, project_id: int, since: float, keep: Collection[int]) -> int:
    """Counts what was taken back, and labelled all the same from a page that had it; how many.

    Each is one of its batch again, and in its place one that the strategy chose instead leaves, the
    last one; so a batch stays as long as it was meant, and the control arm's share of it too.

    Args:
        session: Of the store.
        project_id: Whose queues.
        since: Only what was taken back after this time.
        keep: Tasks that stay: somebody has begun them.
    """
    query = (
        select(QueueEntryRow)
        .join(TaskRow, TaskRow.id == QueueEntryRow.task_id)
        .join(AnnotationRow, AnnotationRow.task_id == TaskRow.id)
        .where(
            QueueEntryRow.project_id == project_id,
            QueueEntryRow.left_at > since,
            QueueEntryRow.exit == QueueExit.WITHDRAWN,
            QueueEntryRow.arm == QueueArm.STRATEGY,
            TaskRow.source == QueueEntryRow.source,
            TaskRow.state == TaskState.LABELLED,
            TaskRow.removed_at.is_(None),
            AnnotationRow.removed_at.is_(None),
            AnnotationRow.was_cancelled.is_(False),
            AnnotationRow.completed_by == QueueEntryRow.annotator_id,
        )
        .order_by(QueueEntryRow.id)
    )
    # One that was taken back twice counts once, where it stood last.
    found = {row.task_id: row for row in session.scalars(query)}
    in_queue = (
        {(row.task_id, row.batch) for row in history(session, project_id)} if found else set()
    )
    n_found = 0
    for row in found.values():
        if (row.task_id, row.batch) in in_queue:
            continue
        row.exit = QueueExit.LABELLED
        n_found += 1
        instead = select(QueueEntryRow).where(
            QueueEntryRow.project_id == project_id,
            QueueEntryRow.annotator_id == row.annotator_id,
            QueueEntryRow.batch == row.batch,
            QueueEntryRow.arm == QueueArm.STRATEGY,
            QueueEntryRow.left_at.is_(None),
            QueueEntryRow.task_id.not_in(keep),
        )
        last = session.scalar(instead.order_by(QueueEntryRow.id.desc()).limit(1))
        leave([] if last is None else [last], QueueExit.WITHDRAWN)
        session.flush()
    return n_found


def leave(entries: Iterable[QueueEntryRow], how: QueueExit) -> None:
    """Takes entries out of their queues."""
    now = clock.now()
    for entry in entries:
        entry.left_at, entry.exit = now, how


def newest_batch(session: Session, project_id: int) -> int:
    """Number of the newest batch of a project; 0 before the first."""
    query = select(func.max(QueueEntryRow.batch)).where(QueueEntryRow.project_id == project_id)
    return session.scalar(query) or 0


def withdrawn_since(session: Session, project_id: int, since: float) -> dict[int, int]:
    """Tasks that were taken out of a queue after a time: task id -> whose queue it was last."""
    query = (
        select(QueueEntryRow.task_id, QueueEntryRow.annotator_id)
        .where(
            QueueEntryRow.project_id == project_id,
            QueueEntryRow.left_at > since,
            QueueEntryRow.exit == QueueExit.WITHDRAWN,
        )
        .order_by(QueueEntryRow.left_at, QueueEntryRow.id)
    )
    return {row.task_id: row.annotator_id for row in session.execute(query)}


def prune(session: Session, project_id: int, before: float) -> None:
    """Forgets the strategy's draws that were taken back before a time: no estimate needs them."""
    session.execute(
        delete(QueueEntryRow).where(
            QueueEntryRow.project_id == project_id,
            QueueEntryRow.left_at < before,
            QueueEntryRow.exit == QueueExit.WITHDRAWN,
            QueueEntryRow.arm == QueueArm.STRATEGY,
        )
    )


def pool(session: Session, project_id: int, version_id: int | None) -> list[PoolTask]:
    """The unlabelled tasks with what a version expects of its predictions, by rising id."""
    query = (
        select(TaskRow.id, TaskRow.source, PredictionRow.score, PredictionRow.measures)
        .outerjoin(
            PredictionRow,
            and_(
                PredictionRow.task_id == TaskRow.id,
                PredictionRow.version_id == version_id,
                PredictionRow.error == "",
                is_live(),
            ),
        )
        .where(
            TaskRow.project_id == project_id,
            TaskRow.state == TaskState.UNLABELLED,
            TaskRow.removed_at.is_(None),
        )
        .order_by(TaskRow.id)
    )
    return [PoolTask(*row) for row in session.execute(query)]


def scores_before(
    session: Session, entries: Iterable[QueueEntryRow], version_id: int | None
) -> dict[int, float]:
    """What other versions expected of tasks that were drawn by them; task id -> score."""
    drawn = {e.task_id: e.version_id for e in entries if e.version_id not in (None, version_id)}
    query = select(PredictionRow.task_id, PredictionRow.version_id, PredictionRow.score).where(
        PredictionRow.version_id.in_(set(drawn.values())),
        PredictionRow.task_id.in_(drawn),
        PredictionRow.error == "",
    )
    return {
        row.task_id: row.score
        for row in session.execute(query)
        if drawn[row.task_id] == row.version_id
    }


def count_labelled(session: Session, project_id: int) -> int:
    """Tasks that have an annotation now."""
    query = select(func.count(TaskRow.id)).where(
        TaskRow.project_id == project_id,
        TaskRow.state == TaskState.LABELLED,
        TaskRow.removed_at.is_(None),
    )
    return session.scalar(query) or 0


def history(session: Session, project_id: int) -> list[QueueEntryRow]:
    """Every draw of a project that was not taken back, by batch."""
    query = select(QueueEntryRow).where(
        QueueEntryRow.project_id == project_id,
        or_(QueueEntryRow.exit != QueueExit.WITHDRAWN, QueueEntryRow.arm == QueueArm.CONTROL),
    )
    return list(session.scalars(query.order_by(QueueEntryRow.batch, QueueEntryRow.id)))


def strategies(session: Session, project_id: int) -> list[str]:
    """Names of the strategies that chose by a version's predictions, the last one last."""
    query = (
        select(QueueEntryRow.strategy)
        .where(
            QueueEntryRow.project_id == project_id,
            QueueEntryRow.arm == QueueArm.STRATEGY,
            QueueEntryRow.version_id.is_not(None),
        )
        .group_by(QueueEntryRow.strategy)
        .order_by(func.max(QueueEntryRow.id))
    )
    return list(session.scalars(query))


def shown_quality(session: Session, project_id: int) -> dict[tuple[int, str], float]:
    """Dice of the prediction that people saw when they labelled a task, by (task, its source)."""
    query = (
        select(HonestPairRow.task_id, HonestPairRow.source, HonestPairRow.dice)
        .where(HonestPairRow.project_id == project_id, HonestPairRow.dice.is_not(None))
        # Of two that were shown the later one.
        .order_by(HonestPairRow.version_id)
    )
    return {(row.task_id, row.source): row.dice for row in session.execute(query)}


def last_labelled(session: Session, project_id: int) -> dict[int, float]:
    """When each person last submitted or skipped a task that is still there, in seconds; by id."""
    query = (
        select(AnnotationRow.completed_by, func.max(AnnotationRow.created_at).label("last"))
        .where(
            AnnotationRow.project_id == project_id,
            AnnotationRow.removed_at.is_(None),
            AnnotationRow.completed_by.is_not(None),
        )
        .group_by(AnnotationRow.completed_by)
    )
    return {row.completed_by: _seconds(row.last) for row in session.execute(query)}


def _seconds(created_at: str) -> float:
    try:
        return datetime.fromisoformat(created_at).timestamp()
    except ValueError:
        return 0.0


def tabs(session: Session, project_id: int) -> list[QueueTabRow]:
    """The tabs that nnloop has made, by annotator."""
    query = select(QueueTabRow).where(QueueTabRow.project_id == project_id)
    return list(session.scalars(query.order_by(QueueTabRow.annotator_id)))


@dataclass(frozen=True, slots=True)
class Size:
    """``left`` tasks of the ``length`` that an annotator's open batches have, and who chose."""

    left: int = 0
    length: int = 0
    strategy: str = ""


def sizes(session: Session, project_id: int) -> dict[int, Size]:
    """How far each annotator is with the batches that they have not finished; by id."""
    open_ = open_entries(session, project_id)
    of_batch = select(QueueEntryRow.annotator_id, QueueEntryRow.task_id).where(
        QueueEntryRow.project_id == project_id,
        QueueEntryRow.batch.in_({entry.batch for entry in open_}),
        QueueEntryRow.exit != QueueExit.WITHDRAWN,
    )
    drawn: dict[int, set[int]] = {}
    for annotator_id, task_id in session.execute(of_batch):
        drawn.setdefault(annotator_id, set()).add(task_id)
    left: dict[int, set[int]] = {}
    strategy: dict[int, str] = {}
    for entry in open_:
        left.setdefault(entry.annotator_id, set()).add(entry.task_id)
        if entry.arm == QueueArm.STRATEGY or entry.annotator_id not in strategy:
            strategy[entry.annotator_id] = entry.strategy
    return {a: Size(len(left[a]), len(drawn[a]), strategy[a]) for a in left}
