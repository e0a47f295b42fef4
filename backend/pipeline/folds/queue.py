"""Which folds wait in the queue: few at a time, the projects in turn.

The queue itself is first come, first served. Would all folds of a run enter it at once, a project
whose run starts a moment later waited for all of them; so only as many enter as workers can soon
take, chosen anew whenever one is taken.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.queue import JobName, JobQueue
from backend.store.models import FoldRow, ProjectRow, RunRow
from domain.states import FOLD, RunControl, RunStatus
from domain.text import counted, one_line

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
        at_work[row.project_id] = at_work.get(row.project_id, 0) + (row.lease_until != 0.0)
    n_running = sum(at_work.values())
    started = _last_starts(session, list(at_work))
    ranked = []
    for row in rows:
        if row.lease_until:
            continue
        rank = at_work[row.project_id]
        at_work[row.project_id] += 1
        ranked.append((rank, started.get(row.project_id, 0.0), row.run_id, row.fold))
    return [(run_id, fold) for _, _, run_id, fold in sorted(ranked)], n_running


def what_folds_wait_for(session: Session, run_id: int) -> str:
    """Whose folds the trainers are at while folds of a run wait: a sentence, "" if nobody's."""
    waiting = session.scalar(
        select(func.count(FoldRow.id)).where(
            FoldRow.run_id == run_id, FoldRow.status.in_(FOLD.active), FoldRow.lease_until == 0.0
        )
    )
    others = session.execute(
        select(ProjectRow.id, ProjectRow.title, func.count(FoldRow.id))
        .join(RunRow, RunRow.project_id == ProjectRow.id)
        .join(FoldRow, FoldRow.run_id == RunRow.id)
        .where(RunRow.id != run_id, FoldRow.status.in_(FOLD.active), FoldRow.lease_until != 0.0)
        .group_by(ProjectRow.id, ProjectRow.title)
        .order_by(ProjectRow.id)
    ).all()
    if not waiting or not others:
        return ""
    named = ", ".join(
        f"{counted(n, 'fold')} of project {project_id} ({one_line(title, 40)})"
        for project_id, title, n in others
    )
    verb = "waits" if waiting == 1 else "wait"
    return f"{counted(waiting, 'fold')} {verb} for a trainer; at work elsewhere: {named}."


def _last_starts(session: Session, project_ids: list[int]) -> dict[int, float]:
    query = (
        select(RunRow.project_id, func.max(FoldRow.started_at))
        .join(FoldRow, FoldRow.run_id == RunRow.id)
        .where(RunRow.project_id.in_(project_ids), FoldRow.started_at.is_not(None))
        .group_by(RunRow.project_id)
    )
    return {project_id: at or 0.0 for project_id, at in session.execute(query)}
