"""Which folds wait in the queue: few at a time, the projects in turn.

The queue itself is first come, first served. Would all folds of a run enter it at once, a project
whose run starts a moment later waited for all of them; so only as many enter as workers can soon
take, chosen anew whenever one is taken.
"""

from __future__ import annotations

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.queue import JobName, JobQueue
from backend.store.models import FoldRow, RunRow
from domain.states import FOLD, RunControl, RunStatus

# Folds that may wait beyond one for each worker, so that none stands still until the next look.
AHEAD = 1


def training_workers(queue: JobQueue) -> int:
    """Live workers that train. Raises StackError when Redis does not answer."""
    own = str(JobName.TRAIN_FOLD.queue)
    return sum(own in worker.queues for worker in queue.workers())


def enqueue_folds(context: AppContext) -> None:
    """Makes sure that the folds to train next are in the queue."""
    with context.store.begin() as session:
        in_turn, n_running = folds_in_turn(session)
    if not in_turn:
        return
    places = max(training_workers(context.queue), 1) + AHEAD - n_running
    for run_id, fold in in_turn[: max(places, 0)]:
        context.queue.ensure(JobName.TRAIN_FOLD, run_id, fold)


def folds_in_turn(session: Session) -> tuple[list[tuple[int, int]], int]:
    """Folds that wait for a worker as (run id, fold), first to be trained first; how many train.

    The project with the fewest folds at work comes first, and of equals the one that started a
    fold the longest time ago.
    """
    now = time.time()
    rows = session.execute(
        select(FoldRow.run_id, FoldRow.fold, FoldRow.lease_until, RunRow.project_id)
        .join(RunRow, RunRow.id == FoldRow.run_id)
        .where(
            RunRow.status == RunStatus.TRAINING,
            RunRow.control == RunControl.RUN,
            FoldRow.status.in_(FOLD.active),
        )
        .order_by(FoldRow.run_id, FoldRow.fold)
    ).all()
    at_work: dict[int, int] = {}
    for row in rows:
        at_work[row.project_id] = at_work.get(row.project_id, 0) + (row.lease_until >= now)
    n_running = sum(at_work.values())
    started = _last_starts(session, list(at_work))
    ranked = []
    for row in rows:
        if row.lease_until >= now:
            continue
        rank = at_work[row.project_id]
        at_work[row.project_id] += 1
        ranked.append((rank, started.get(row.project_id, 0.0), row.run_id, row.fold))
    return [(run_id, fold) for _, _, run_id, fold in sorted(ranked)], n_running


def _last_starts(session: Session, project_ids: list[int]) -> dict[int, float]:
    query = (
        select(RunRow.project_id, func.max(FoldRow.started_at))
        .join(FoldRow, FoldRow.run_id == RunRow.id)
        .where(RunRow.project_id.in_(project_ids), FoldRow.started_at.is_not(None))
        .group_by(RunRow.project_id)
    )
    return {project_id: at or 0.0 for project_id, at in session.execute(query)}
