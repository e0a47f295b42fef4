"""Upkeep: what is kept to look back at is bounded, and goes in small pieces.

What bounds every table and folder: docs/retention.md.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.store import clock, hints
from backend.store.models import ProblemRow
from backend.store.training import notices

EVERY_S = 3600.0
"""Seconds between two rounds of upkeep."""

PORTION = 500
"""Rows that one transaction deletes of a kind: others wait for the store some milliseconds."""

PROBLEMS_KEPT_S = 30 * 24 * 3600.0
"""A problem that was resolved is kept so long, to look back at."""


def upkeep(now: Callable[[], float] = clock.now) -> Callable[[AppContext], None]:
    """A function to be called every second or so: once an hour it deletes what is too old.

    One call deletes one portion; the next one goes on while anything is left.
    """
    due_at = [0.0]

    def round_(context: AppContext) -> None:
        moment = now()
        # Looked at from both sides: a clock that was set back must not end it for years.
        if due_at[0] - EVERY_S <= moment < due_at[0]:
            return
        n = forget_old(context, moment)
        due_at[0] = moment if n else moment + EVERY_S

    return round_


def forget_old(context: AppContext, moment: float) -> int:
    """Deletes a portion of every kind; how many rows went."""
    n = 0
    for forget in _KINDS:
        with context.store.begin() as session:
            n += forget(session, moment, PORTION)
    return n


def _forget_problems(session: Session, now: float, portion: int) -> int:
    old = select(ProblemRow.id).where(ProblemRow.resolved_at < now - PROBLEMS_KEPT_S)
    ids = list(session.scalars(old.limit(portion)))
    if ids:
        session.execute(delete(ProblemRow).where(ProblemRow.id.in_(ids)))
    return len(ids)


_KINDS: tuple[Callable[[Session, float, int], int], ...] = (
    hints.forget_old,
    notices.forget_old,
    _forget_problems,
)
