"""The table of honest pairs: what versions said of images, and the truth about them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from active_learning.measures import ImageMeasures
from backend.store import clock
from backend.store.models import Base
from training.evaluation import ClassDice


class HonestPairRow(Base):
    """What people made of a prediction that was shown to them, by a version that had not seen it.

    ``measures`` are the prediction's; ``dice`` and ``dice_per_class`` (classes as they are called
    now) compare the shapes that went out with the annotations that count. ``score`` and its
    interval are what was said before the truth was known. ``source`` is the task's and
    ``content_hash`` over the annotations: once they differ from today's, the pair is measured
    again, or gone. ``annotation_id`` is the newest that counts. ``dice`` is None where the two
    can't be compared, or the version has seen the task: kept so that it is not tried again.
    """

    __tablename__ = "honest_pair"
    __table_args__ = (
        UniqueConstraint("task_id", "version_id"),
        Index("ix_honest_pair_project", "project_id", "version_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    task_id: Mapped[int]
    version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id"))
    source: Mapped[str] = mapped_column(String(64), default="")
    annotation_id: Mapped[int | None] = mapped_column(default=None)
    content_hash: Mapped[str] = mapped_column(String(64), default="")
    measures: Mapped[ImageMeasures | None] = mapped_column(default=None)
    score: Mapped[float | None] = mapped_column(default=None)
    score_low: Mapped[float | None] = mapped_column(default=None)
    score_high: Mapped[float | None] = mapped_column(default=None)
    dice: Mapped[float | None] = mapped_column(default=None)
    dice_per_class: Mapped[ClassDice] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(default=clock.now)
