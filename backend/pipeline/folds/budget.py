"""Shares a run's time budget out over its folds.

The budget is wall-clock time, from the start of the run's first fold to the last fold's result. A
fold's share is reckoned when it starts, from the time, the folds and the workers there are then: a
worker that dies, or joins, changes the shares of the folds after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.store.models import RunRow
from backend.store.training import runs
from domain.states import FOLD, RunControl, RunStatus

# The least a fold is given. Starting its process took 5 to 8 s on two busy cores, and a fold that
# has hardly trained is worth less than none.
FLOOR_S = 10.0
# A version of one fold could say nothing of its uncertainty.
LEAST_FOLDS = 2
# Shares are reckoned from clock readings; this much of a fold is no fold.
_TOLERANCE = 1e-6


def budget_of(run: RunRow) -> float | None:
    """Seconds that training all folds of a run may take; None: no limit.

    What the settings say, else the preset the run trains with.
    """
    budget_s = run.settings.budget_s
    if budget_s is None and run.manifest is not None:
        budget_s = run.manifest.preset.budget_s
    return budget_s or None


def share(left_s: float, n_waiting: int, free_in_s: Sequence[float]) -> float:
    """The longest time each waiting fold may take for all of them to end within ``left_s``.

    Each worker can take floor((left - free_in) / share) of them, one after the other, so the
    longest share is a worker's time divided by a whole number.

    Args:
        left_s: Seconds left to the run.
        n_waiting: Folds that have not started, at least 1.
        free_in_s: For each worker, the seconds until it is free; 0 for one that is.

    Returns:
        Seconds; 0 when no time is left.
    """
    spans = [left_s - busy for busy in free_in_s if busy < left_s]
    candidates = {span / folds for span in spans for folds in range(1, n_waiting + 1)}
    return max(
        (s for s in candidates if sum(int(x / s + _TOLERANCE) for x in spans) >= n_waiting),
        default=0.0,
    )


def folds_that_fit(budget_s: float, n_folds: int, n_workers: int) -> int:
    """How many of the folds get at least the floor; at least 2 where there are as many."""
    fitting = max(n_workers, 1) * math.floor(budget_s / FLOOR_S)
    return min(n_folds, max(fitting, LEAST_FOLDS))


def fold_budget(
    session: Session, run: RunRow, fold: int, n_workers: int, now: float
) -> float | None:
    """Seconds from now in which a fold of the run must have its result; None without a budget.

    Workers are shared with the other runs that train. Never less than the floor.

    Args:
        session: A session of the store.
        run: The run, in training.
        fold: The fold that is about to start.
        n_workers: Training workers alive.
        now: Unix seconds.
    """
    budget_s = budget_of(run)
    if budget_s is None:
        return None
    left = budget_s - runs.seconds_in(run, RunStatus.TRAINING, now)
    others = [
        row
        for row in runs.folds_of(session, run.id)
        if row.fold != fold and row.status in FOLD.active
    ]
    busy = [row.eta_s or 0.0 for row in others if row.lease_until]
    waiting = [row for row in others if not row.lease_until]
    ours = n_workers / max(_training_runs(session), 1)
    n_ours = max(int(ours), len(busy) + 1)
    # Less than one worker for this run: it trains only that part of the time.
    left *= min(1.0, ours)
    free_in = busy + [0.0] * (n_ours - len(busy))
    return max(share(left, len(waiting) + 1, free_in), FLOOR_S)


def _training_runs(session: Session) -> int:
    query = select(func.count(RunRow.id)).where(
        RunRow.status == RunStatus.TRAINING, RunRow.control == RunControl.RUN
    )
    return session.scalar(query) or 0
