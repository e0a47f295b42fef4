"""Upkeep: what is kept to look back at is bounded, and goes in small pieces.

What bounds every table and folder: docs/retention.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.pipeline.runs.old_files import forget_files
from backend.store import clock, hints
from backend.store.models import ProblemRow
from backend.store.tasks import old_rows
from backend.store.training import notices, runs

EVERY_S = 3600.0
"""Seconds between two rounds of upkeep."""

PORTION = 500
"""Rows that one transaction deletes: others wait for the store some milliseconds."""

PAUSE_S = 0.02
"""Between two such transactions: who waits for the store gets it in between."""

AT_ONCE = 5_000
"""Rows of a kind that one round deletes; the next one follows at once."""

PROBLEMS_KEPT_S = 30 * 24 * 3600.0
"""A problem that was resolved is kept so long, to look back at."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows that go. They are looked for without holding up any writer.

    Attributes:
        find: Given the time and how many at most, the keys of those that are to go.
        forget: Deletes those of some keys.
        portion: So many go in one transaction.
    """

    find: Callable[[Session, float, int], Sequence[Any]]
    forget: Callable[[Session, Sequence[Any]], None]
    portion: int = PORTION


def upkeep(now: Callable[[], float] = clock.now) -> Callable[[AppContext], None]:
    """A function to be called every second or so: once an hour it deletes what is too old.

    Where much is to go, one call deletes some of it, and the next one goes on.
    """
    due_at = [0.0]

    def round_(context: AppContext) -> None:
        moment = now()
        # Looked at from both sides: a clock that was set back must not end it for years.
        if due_at[0] - EVERY_S <= moment < due_at[0]:
            return
        n = forget_old(context, moment)
        if n:
            due_at[0] = moment
            return
        due_at[0] = moment + EVERY_S
        forget_files(context, moment)

    return round_


def forget_old(context: AppContext, moment: float) -> int:
    """Deletes some of every kind; how many rows."""
    n = 0
    for kind in KINDS:
        with context.store.read() as session:
            keys = kind.find(session, moment, AT_ONCE)
        for start in range(0, len(keys), kind.portion):
            if start:
                time.sleep(PAUSE_S)
            with context.store.begin() as session:
                kind.forget(session, keys[start : start + kind.portion])
        n += len(keys)
    return n


def _old_problems(session: Session, now: float, limit: int) -> list[int]:
    old = select(ProblemRow.id).where(ProblemRow.resolved_at < now - PROBLEMS_KEPT_S)
    return list(session.scalars(old.limit(limit)))


def _forget_problems(session: Session, ids: Sequence[int]) -> None:
    session.execute(delete(ProblemRow).where(ProblemRow.id.in_(ids)))


KINDS: tuple[Kind, ...] = (
    Kind(hints.find_old, hints.forget),
    Kind(notices.find_old, notices.forget),
    Kind(_old_problems, _forget_problems),
    # Some MB each in large projects.
    Kind(lambda session, _, n: runs.with_old_candidates(session, n), runs.forget_candidates, 10),
    Kind(old_rows.find_predictions, old_rows.forget_predictions),
    Kind(old_rows.find_embeddings, old_rows.forget_embeddings),
)
