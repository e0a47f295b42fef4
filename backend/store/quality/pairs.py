"""Honest pairs: which predictions have a truth by now, and what they came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.orm import Session

from backend.store.identity import CHUNK
from backend.store.models import PredictionRow, TaskRow
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks.predictions import is_live
from domain.states import TaskState


class Judged(NamedTuple):
    """A prediction that people have seen, of a task that is labelled now.

    ``pair_id`` and ``content_hash`` are of the pair it has; None and "" where it has none yet.
    """

    prediction_id: int
    version_id: int
    task_id: int
    pair_id: int | None
    content_hash: str


def judged_predictions(session: Session, project_id: int) -> list[Judged]:
    """The predictions that labelled tasks were shown with, the newest tasks' first.

    Label Studio holds a prediction only of what was unlabelled when it was pushed; a pair that was
    made of one stays when another version's takes its place there.
    """
    query = (
        select(
            PredictionRow.id,
            PredictionRow.version_id,
            PredictionRow.task_id,
            HonestPairRow.id,
            func.coalesce(HonestPairRow.content_hash, ""),
        )
        .join(TaskRow, and_(TaskRow.id == PredictionRow.task_id, is_live()))
        .outerjoin(
            HonestPairRow,
            and_(
                HonestPairRow.task_id == PredictionRow.task_id,
                HonestPairRow.version_id == PredictionRow.version_id,
            ),
        )
        .where(
            PredictionRow.project_id == project_id,
            PredictionRow.error == "",
            PredictionRow.measures.is_not(None),
            TaskRow.project_id == project_id,
            TaskRow.state == TaskState.LABELLED,
            TaskRow.removed_at.is_(None),
            or_(PredictionRow.published_at.is_not(None), HonestPairRow.id.is_not(None)),
        )
        .order_by(PredictionRow.task_id.desc(), PredictionRow.version_id)
    )
    return [Judged(*row) for row in session.execute(query)]


def keep_only(session: Session, project_id: int, pair_ids: Iterable[int]) -> int:
    """Deletes the project's other pairs: their annotation is gone, or the image; how many."""
    query = select(HonestPairRow.id).where(HonestPairRow.project_id == project_id)
    gone = sorted(set(session.scalars(query)).difference(pair_ids))
    for start in range(0, len(gone), CHUNK):
        ids = gone[start : start + CHUNK]
        session.execute(delete(HonestPairRow).where(HonestPairRow.id.in_(ids)))
    return len(gone)


def save(session: Session, pair: HonestPairRow) -> None:
    """Writes a pair in the place of an older one of the same task and version."""
    session.execute(
        delete(HonestPairRow).where(
            HonestPairRow.task_id == pair.task_id, HonestPairRow.version_id == pair.version_id
        )
    )
    session.add(pair)


def pairs_of(session: Session, version_ids: Sequence[int]) -> list[HonestPairRow]:
    """The pairs of versions that could be compared, in the order of their tasks."""
    query = select(HonestPairRow).where(
        HonestPairRow.version_id.in_(version_ids), HonestPairRow.dice.is_not(None)
    )
    return list(session.scalars(query.order_by(HonestPairRow.task_id, HonestPairRow.version_id)))


def count(session: Session, version_id: int) -> int:
    """How many pairs of a version could be compared."""
    query = select(func.count(HonestPairRow.id)).where(
        HonestPairRow.version_id == version_id, HonestPairRow.dice.is_not(None)
    )
    return session.scalar(query) or 0
