"""What annotations cost people: measured once of each, when it was first read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ForeignKey, Index, String, and_, delete, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from active_learning.effort import LONGEST_S, Effort
from backend.store import clock
from backend.store.identity import CHUNK
from backend.store.models import AnnotationRow, Base, TaskRow
from backend.store.tasks.snapshots import is_submitted
from converters.label_studio.beginnings import Beginning
from training.evaluation import ClassDice


class EffortRow(Base):
    """What one annotation cost, as it was first submitted.

    ``source`` is the task's and ``made_at`` the annotation's own ``created_at``: ids are reused.
    ``content_hash`` is over its regions as they were measured. ``version_id`` made the prediction
    that it began with, which had ``score``; None where it began with none, or nobody can tell.
    ``classes`` are by the class that a region ended with, as it was called then. ``dice`` and
    ``dice_per_class`` compare the prediction with the annotation, whatever the version has seen;
    None where they can't be compared.
    """

    __tablename__ = "effort"
    __table_args__ = (Index("ix_effort_project", "project_id", "version_id"),)

    annotation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project_id: Mapped[int]
    task_id: Mapped[int]
    source: Mapped[str] = mapped_column(String(64), default="")
    made_at: Mapped[str] = mapped_column(String(40), default="")
    content_hash: Mapped[str] = mapped_column(String(64), default="")
    annotator_id: Mapped[int | None] = mapped_column(default=None)
    beginning: Mapped[Beginning] = mapped_column(String(16), default=Beginning.OTHER)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("model_version.id"), default=None)
    score: Mapped[float | None] = mapped_column(default=None)
    lead_time_s: Mapped[float | None] = mapped_column(default=None)
    classes: Mapped[dict[str, Effort]] = mapped_column(default=dict)
    n_regions: Mapped[int] = mapped_column(default=0)
    n_points: Mapped[int] = mapped_column(default=0)
    dice: Mapped[float | None] = mapped_column(default=None)
    dice_per_class: Mapped[ClassDice] = mapped_column(default=dict)
    measured_at: Mapped[float] = mapped_column(default=clock.now)


class Unmeasured(NamedTuple):
    """A submitted annotation without its effort, or one whose regions have changed since.

    ``is_changed`` tells the two apart. Times are Label Studio's texts.
    """

    annotation_id: int
    task_id: int
    is_changed: bool
    completed_by: int | None
    updated_by: int | None
    created_at: str
    updated_at: str


def unmeasured(session: Session, project_id: int) -> list[Unmeasured]:
    """What is to be looked at, the newest tasks' first."""
    is_same = and_(
        EffortRow.task_id == AnnotationRow.task_id,
        EffortRow.made_at == AnnotationRow.created_at,
        EffortRow.source == TaskRow.source,
    )
    query = (
        select(
            AnnotationRow.id,
            AnnotationRow.task_id,
            EffortRow.annotation_id.is_not(None),
            AnnotationRow.completed_by,
            AnnotationRow.updated_by,
            AnnotationRow.created_at,
            AnnotationRow.updated_at,
        )
        .join(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .outerjoin(EffortRow, and_(EffortRow.annotation_id == AnnotationRow.id, is_same))
        .where(
            *is_submitted(project_id),
            or_(
                EffortRow.annotation_id.is_(None),
                EffortRow.content_hash != AnnotationRow.content_hash,
            ),
        )
        .order_by(AnnotationRow.task_id.desc(), AnnotationRow.id)
    )
    return [Unmeasured(*row) for row in session.execute(query)]


def keep_submitted(session: Session, project_id: int) -> None:
    """Deletes what was measured of annotations that are gone, skipped now, or of another image."""
    query = (
        select(EffortRow.annotation_id)
        .outerjoin(AnnotationRow, AnnotationRow.id == EffortRow.annotation_id)
        .outerjoin(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .where(
            EffortRow.project_id == project_id,
            or_(
                AnnotationRow.id.is_(None),
                TaskRow.id.is_(None),
                EffortRow.made_at != AnnotationRow.created_at,
                EffortRow.source != TaskRow.source,
                ~and_(*is_submitted(project_id)),
            ),
        )
    )
    gone = list(session.scalars(query))
    for start in range(0, len(gone), CHUNK):
        _delete(session, gone[start : start + CHUNK])


def save(session: Session, rows: Sequence[EffortRow]) -> None:
    """Writes rows in the place of what was measured of their annotations before."""
    _delete(session, [row.annotation_id for row in rows])
    session.add_all(rows)


def rows_of(session: Session, project_id: int) -> list[EffortRow]:
    """All that was measured of a project, in the order of the annotations."""
    query = select(EffortRow).where(EffortRow.project_id == project_id)
    return list(session.scalars(query.order_by(EffortRow.annotation_id)))


def newest_times(session: Session, project_id: int, beginning: Beginning, n: int) -> list[float]:
    """Seconds by Label Studio's clock of the ``n`` newest annotations it timed, newest first.

    Times of 0 and of more than ``LONGEST_S`` are left out.
    """
    query = select(EffortRow.lead_time_s).where(
        EffortRow.project_id == project_id,
        EffortRow.beginning == beginning,
        EffortRow.lead_time_s > 0,
        EffortRow.lead_time_s <= LONGEST_S,
    )
    newest = query.order_by(EffortRow.made_at.desc(), EffortRow.annotation_id.desc()).limit(n)
    return [seconds for seconds in session.scalars(newest) if seconds is not None]


def _delete(session: Session, annotation_ids: Sequence[int]) -> None:
    session.execute(delete(EffortRow).where(EffortRow.annotation_id.in_(annotation_ids)))
