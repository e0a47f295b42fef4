"""What other programs predicted and somebody imported: by which task, version and score."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import String, and_, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.store import clock
from backend.store.identity import CHUNK
from backend.store.models import Base, TaskRow


class ElsewhereRow(Base):
    """One prediction of another program that Label Studio holds. It is no version's of nnloop.

    ``source`` is the task's: once it is another, the row is dead. ``score`` is what Label Studio
    was sent; ``is_stated`` tells whether the program said it, or nothing is known.
    """

    __tablename__ = "elsewhere"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_version: Mapped[str] = mapped_column(String(255), primary_key=True)
    source: Mapped[str] = mapped_column(String(64))
    score: Mapped[float]
    is_stated: Mapped[bool]
    imported_at: Mapped[float] = mapped_column(default=clock.now)


_IS_SAME = and_(TaskRow.id == ElsewhereRow.task_id, TaskRow.source == ElsewhereRow.source)


def save(session: Session, rows: Collection[ElsewhereRow]) -> None:
    """Keeps what was imported; in the place of the same version's for the same task."""
    for row in rows:
        session.merge(row)


def tasks_of(session: Session, project_id: int, model_version: str) -> dict[int, str]:
    """Task id -> its source when a version's prediction was imported."""
    query = select(ElsewhereRow.task_id, ElsewhereRow.source).where(
        ElsewhereRow.project_id == project_id, ElsewhereRow.model_version == model_version
    )
    return {row.task_id: row.source for row in session.execute(query)}


def versions_of(session: Session, project_id: int) -> dict[str, float]:
    """Imported version -> when the newest of it came, in seconds; the newest last."""
    newest = func.max(ElsewhereRow.imported_at).label("newest")
    query = (
        select(ElsewhereRow.model_version, newest)
        .where(ElsewhereRow.project_id == project_id)
        .group_by(ElsewhereRow.model_version)
        .order_by(newest)
    )
    return {row.model_version: row.newest for row in session.execute(query)}


def live_versions_of(session: Session, project_id: int) -> dict[str, float]:
    """``versions_of``, of tasks that are the same still: a project's id is given to others, too."""
    newest = func.max(ElsewhereRow.imported_at).label("newest")
    query = (
        select(ElsewhereRow.model_version, newest)
        .join(TaskRow, _IS_SAME)
        .where(ElsewhereRow.project_id == project_id, TaskRow.project_id == project_id)
        .group_by(ElsewhereRow.model_version)
    )
    return {row.model_version: row.newest for row in session.execute(query)}


def scored_at(session: Session, project_id: int) -> float:
    """When the newest score came that a program said, in seconds; 0 without one."""
    query = select(func.max(ElsewhereRow.imported_at)).where(
        ElsewhereRow.project_id == project_id, ElsewhereRow.is_stated
    )
    return session.scalar(query) or 0.0


def scores(session: Session, project_id: int) -> Mapping[int, float]:
    """Task id -> the newest score that a program said of the image it shows now."""
    query = (
        select(ElsewhereRow.task_id, ElsewhereRow.score)
        .join(TaskRow, _IS_SAME)
        .where(
            ElsewhereRow.project_id == project_id,
            TaskRow.project_id == project_id,
            ElsewhereRow.is_stated,
        )
        .order_by(ElsewhereRow.imported_at)
    )
    return {row.task_id: row.score for row in session.execute(query)}


def forget_task(session: Session, project_id: int, task_id: int) -> bool:
    """Forgets what was imported for one task, whose image is another now; whether there was any.

    What is still in Label Studio is withdrawn (``TaskRow.to_withdraw``); the same import brings
    it again, if it is of the new image.
    """
    of_task = delete(ElsewhereRow).where(
        ElsewhereRow.project_id == project_id, ElsewhereRow.task_id == task_id
    )
    found = list(session.scalars(of_task.returning(ElsewhereRow.task_id)))
    if found and (row := session.get(TaskRow, task_id)) is not None:
        row.to_withdraw = True
    return bool(found)


def forget(
    session: Session,
    project_id: int,
    model_version: str,
    task_ids: Collection[int] | None = None,
) -> None:
    """Forgets what Label Studio holds no more, of some tasks or of all."""
    of_version = delete(ElsewhereRow).where(
        ElsewhereRow.project_id == project_id, ElsewhereRow.model_version == model_version
    )
    if task_ids is None:
        session.execute(of_version)
        return
    ids = sorted(task_ids)
    for start in range(0, len(ids), CHUNK):
        session.execute(of_version.where(ElsewhereRow.task_id.in_(ids[start : start + CHUNK])))
