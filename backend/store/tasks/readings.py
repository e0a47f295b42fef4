"""How far a project's tasks were read, by Label Studio's own times, and what speaks for all."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Float, String, Text, case, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.store import clock, projects
from backend.store.identity import CHUNK
from backend.store.models import AnnotationRow, Base, TaskRow
from domain.states import TaskState

REASON_LENGTH = 200

UNANSWERED = "Label Studio did not answer"
"""Doubt after an error: it may have been put back to what it held before. Others go first."""


class ReadingRow(Base):
    """How far one project was read. Without a row all of it is read next.

    Times of tasks are Label Studio's texts. ``read_to``: what was changed later is asked for at
    each reading. ``seen_to`` is the newest change seen by ``seen_at`` (our clock), and takes the
    place of ``read_to`` some time later: changes may show out of order. ``turned_to``: up to this
    task id all were read once more in this turn, the last of them at ``turned_at``.
    ``clock_ahead_s`` is by how much Label Studio's clock was ahead of ours; None where it does not
    say. ``image_keys`` are the fields of the images, one a line. ``more_tasks`` and so on: how many
    more Label Studio counted than it showed when all was read. ``doubt`` says why all of it has to
    be read; "" when nothing speaks for it. ``checked_at``: when the connection was looked at, and
    ``checked_as``: what the project itself said of it then.
    """

    __tablename__ = "reading"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    read_all_at: Mapped[float] = mapped_column(default=0.0)
    read_to: Mapped[str] = mapped_column(String(40), default="")
    seen_to: Mapped[str] = mapped_column(String(40), default="")
    seen_at: Mapped[float] = mapped_column(default=0.0)
    turned_to: Mapped[int] = mapped_column(default=0)
    turned_at: Mapped[float] = mapped_column(default=0.0)
    clock_ahead_s: Mapped[float | None] = mapped_column(Float, default=None)
    image_keys: Mapped[str] = mapped_column(Text, default="")
    more_tasks: Mapped[int] = mapped_column(default=0)
    more_submitted: Mapped[int] = mapped_column(default=0)
    more_skipped: Mapped[int] = mapped_column(default=0)
    doubt: Mapped[str] = mapped_column(String(REASON_LENGTH), default="")
    checked_at: Mapped[float] = mapped_column(default=0.0)
    checked_as: Mapped[str] = mapped_column(Text, default="")


def find(session: Session, project_id: int) -> ReadingRow | None:
    """How far a project was read; None: all of it is read next."""
    return session.get(ReadingRow, project_id)


def doubt(session: Session, project_id: int, why: str) -> None:
    """Has all of a project read next; the first reason stays until then."""
    row = find(session, project_id)
    if row is not None and row.doubt in ("", UNANSWERED):
        row.doubt = why[:REASON_LENGTH]


def doubt_all(session: Session, why: str) -> None:
    """``doubt`` of every connected project."""
    for project_id in projects.all_ids(session):
        doubt(session, project_id, why)


def began(session: Session, project_id: int) -> ReadingRow:
    """The row of a project, which is made where there is none."""
    row = find(session, project_id)
    if row is None:
        row = ReadingRow(project_id=project_id, turned_at=clock.now())
        session.add(row)
        session.flush()
    return row


def counts(session: Session, project_id: int) -> tuple[int, int, int]:
    """(tasks, submitted annotations, skipped ones) that are there by what was read last."""
    n_tasks = session.scalar(
        select(func.count(TaskRow.id)).where(
            TaskRow.project_id == project_id, TaskRow.removed_at.is_(None)
        )
    )
    is_skipped = case((AnnotationRow.was_cancelled.is_(True), 1))
    query = (
        select(func.count(AnnotationRow.id), func.count(is_skipped))
        .join(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .where(
            TaskRow.project_id == project_id,
            TaskRow.removed_at.is_(None),
            AnnotationRow.removed_at.is_(None),
        )
    )
    n_all, n_skipped = session.execute(query).one()
    return n_tasks or 0, n_all - n_skipped, n_skipped


def states_of(session: Session, project_id: int, task_ids: Collection[int]) -> dict[int, TaskState]:
    """The state of each of these tasks by its id; those that are gone are missing."""
    found: dict[int, TaskState] = {}
    ids = sorted(task_ids)
    for start in range(0, len(ids), CHUNK):
        query = select(TaskRow.id, TaskRow.state).where(
            TaskRow.id.in_(ids[start : start + CHUNK]),
            TaskRow.project_id == project_id,
            TaskRow.removed_at.is_(None),
        )
        found.update({task_id: TaskState(state) for task_id, state in session.execute(query)})
    return found
