"""Scores made anew from the measures of stored predictions, and what of them is still to be sent.

A prediction that Label Studio holds with another score than the store has ``published_at`` 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import JSON, ColumnElement, select, type_coerce, update
from sqlalchemy.orm import Session, defer

from active_learning.calibration import Calibration
from backend.store import clock
from backend.store.identity import CHUNK
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks.predictions import is_live
from domain.states import TaskState

RESCORED = 0.0


def soft_dices(session: Session, version_id: int) -> list[float]:
    """The soft Dice of all predictions of a version, whatever has become of their tasks."""
    soft_dice = type_coerce(PredictionRow.measures, JSON)["soft_dice"].as_float()
    query = select(soft_dice).where(
        PredictionRow.version_id == version_id, PredictionRow.measures.is_not(None)
    )
    return list(session.scalars(query))


def rescore(session: Session, version_id: int, calibration: Calibration, same: float) -> int:
    """Scores of unlabelled tasks by another calibration; how many move by more than ``same``.

    Others keep the score that Label Studio holds, so that small moves do not add up unseen.
    """
    query = (
        select(PredictionRow)
        # Regions, nearly all of the bytes, stay where they are.
        .options(defer(PredictionRow.result, raiseload=True))
        .join(TaskRow, TaskRow.id == PredictionRow.task_id)
        .where(
            PredictionRow.version_id == version_id,
            PredictionRow.measures.is_not(None),
            PredictionRow.error == "",
            TaskRow.state == TaskState.UNLABELLED,
            TaskRow.removed_at.is_(None),
            is_live(),
        )
    )
    n_moved = 0
    for row in session.scalars(query):
        if row.measures is None:
            continue
        expected = calibration.expected(row.measures)
        if abs(expected.score - row.score) <= same:
            continue
        row.score, row.score_low, row.score_high = expected.score, expected.low, expected.high
        if row.published_at is not None:
            row.published_at = RESCORED
        n_moved += 1
    return n_moved


def is_any_rescored(session: Session, version_id: int) -> bool:
    """Whether Label Studio holds a prediction of a version with an earlier score."""
    query = select(PredictionRow.id).where(*_is_rescored(version_id))
    return session.scalar(query.limit(1)) is not None


def rescored(session: Session, version_id: int, limit: int) -> dict[int, float]:
    """Task id -> score, lowest first, where Label Studio holds an earlier one."""
    query = select(PredictionRow.task_id, PredictionRow.score).where(*_is_rescored(version_id))
    rows = session.execute(query.order_by(PredictionRow.score, PredictionRow.id).limit(limit))
    return {row.task_id: row.score for row in rows}


def mark_sent(session: Session, version_id: int, scores: Mapping[int, float]) -> None:
    """Marks predictions, by task, that Label Studio holds with these scores now."""
    now = clock.now()
    for task_id, score in scores.items():
        session.execute(
            update(PredictionRow)
            .where(
                *_is_rescored(version_id),
                PredictionRow.task_id == task_id,
                PredictionRow.score == score,
            )
            .values(published_at=now)
            .execution_options(synchronize_session=False)
        )


def mark_not_held(session: Session, version_id: int, task_ids: Iterable[int]) -> None:
    """Marks predictions that Label Studio was seen not to hold at all: they are pushed again."""
    ids = list(task_ids)
    for start in range(0, len(ids), CHUNK):
        session.execute(
            update(PredictionRow)
            .where(*_is_rescored(version_id), PredictionRow.task_id.in_(ids[start : start + CHUNK]))
            .values(published_at=None)
            .execution_options(synchronize_session=False)
        )


def _is_rescored(version_id: int) -> tuple[ColumnElement[bool], ...]:
    return (PredictionRow.version_id == version_id, PredictionRow.published_at == RESCORED)
