"""Doubts about labels: what the newest version says of them, and which a person has looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ForeignKey, String, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.store import clock
from backend.store.models import Base
from backend.store.tasks.snapshots import LabelNow
from domain.doubts import NamedDoubt


class LabelDoubtRow(Base):
    """A label that a version, which has not seen it, doubts.

    It is of one content: ``content_hash`` over the annotations that count, ``source`` the task's
    and ``image_hash`` of its images. Once they differ from today's, it says nothing any more.
    ``saved_at`` is when those annotations were last saved, as Label Studio had it; "" = take what
    is read next. ``checked_at``: a person has looked, and found the label right. ``place`` counts
    from 1, the most doubtful first. The classes in ``doubts`` are called as in training.
    """

    __tablename__ = "label_doubt"
    __table_args__ = (UniqueConstraint("project_id", "task_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id"))
    task_id: Mapped[int]
    source: Mapped[str] = mapped_column(String(64))
    image_hash: Mapped[str] = mapped_column(String(64))
    content_hash: Mapped[str] = mapped_column(String(64))
    saved_at: Mapped[str] = mapped_column(String(40))
    place: Mapped[int]
    rarity: Mapped[float]
    doubts: Mapped[tuple[NamedDoubt, ...]] = mapped_column()
    checked_at: Mapped[float | None] = mapped_column(default=None)

    def is_of(self, label: LabelNow | None) -> bool:
        """Whether it is of the label that the task has now."""
        return (
            label is not None
            and (label.annotated.content_hash, label.annotated.source)
            == (self.content_hash, self.source)
            and ("" in (label.image_hash, self.image_hash) or label.image_hash == self.image_hash)
        )


class CheckTabRow(Base):
    """The tab in Label Studio that lists a project's doubtful labels."""

    __tablename__ = "check_tab"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    view_id: Mapped[int]


def doubts_of(session: Session, project_id: int) -> list[LabelDoubtRow]:
    """All of a project, also what was checked or is of a former label; most doubtful first."""
    query = select(LabelDoubtRow).where(LabelDoubtRow.project_id == project_id)
    return list(session.scalars(query.order_by(LabelDoubtRow.place, LabelDoubtRow.id)))


def replace(
    session: Session, project_id: int, rows: Sequence[LabelDoubtRow], keep: Collection[int]
) -> None:
    """Puts doubts in the place of all others of the project but some.

    Args:
        session: Of the store.
        project_id: Whose.
        rows: The new ones, of tasks that none of the kept ones is of.
        keep: Ids of the rows that stay.
    """
    gone = LabelDoubtRow.project_id == project_id, LabelDoubtRow.id.not_in(keep)
    session.execute(delete(LabelDoubtRow).where(*gone))
    session.add_all(rows)
    session.flush()


def note_saved(session: Session, project_id: int, task_id: int) -> None:
    """The task's annotations were saved by a program, not because somebody looked at them."""
    query = select(LabelDoubtRow).where(
        LabelDoubtRow.project_id == project_id, LabelDoubtRow.task_id == task_id
    )
    for row in session.scalars(query):
        row.saved_at = ""


def check(row: LabelDoubtRow) -> None:
    """Notes that a person found the label right."""
    row.checked_at = clock.now()


def uncheck(row: LabelDoubtRow, saved_at: str) -> None:
    """Takes back that the label is right; ``saved_at`` is when it was last saved."""
    row.checked_at, row.saved_at = None, saved_at


def check_tab(session: Session, project_id: int) -> CheckTabRow | None:
    """The tab that nnloop has made, if it has."""
    return session.get(CheckTabRow, project_id)
