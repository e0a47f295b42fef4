"""Pauses: work on a whole project that failed waits longer each time before it is tried again."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.models import PauseRow

FIRST_S = 10.0
LONGEST_S = 900.0
"""From 10 s, doubled each time, to a quarter of an hour: what ends by itself is soon noticed."""


def lengthen(
    session: Session, project_id: int, stage: str, longest_s: float = LONGEST_S
) -> PauseRow:
    """Notes one more failure; the row says when the next try is."""
    row = session.get(PauseRow, (project_id, stage))
    if row is None:
        row = PauseRow(project_id=project_id, stage=stage, attempts=0)
        session.add(row)
    row.attempts += 1
    row.not_before = clock.now() + min(_pause_s(row.attempts), longest_s)
    return row


def end(session: Session, project_id: int, stage: str) -> None:
    """The work went well, or a person wants it tried now."""
    session.execute(
        delete(PauseRow).where(PauseRow.project_id == project_id, PauseRow.stage == stage)
    )


def is_paused(session: Session, project_id: int, stage: str) -> bool:
    """Whether the next try is still ahead."""
    row = session.get(PauseRow, (project_id, stage))
    return row is not None and clock.is_ahead(row.not_before, _pause_s(row.attempts))


def paused(session: Session) -> set[tuple[int, str]]:
    """(project id, stage) of everything that waits."""
    return {
        (row.project_id, row.stage)
        for row in session.scalars(select(PauseRow))
        if clock.is_ahead(row.not_before, _pause_s(row.attempts))
    }


def _pause_s(attempts: int) -> float:
    return min(FIRST_S * 2.0 ** min(attempts - 1, 20), LONGEST_S)
