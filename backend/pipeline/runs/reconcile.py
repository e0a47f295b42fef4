"""Turns the ledger's open work into jobs, again and again: what a queue lost comes back.

Called every second by the web process. Enqueueing is idempotent (one job per id), so a tick costs a
few queries and, usually, nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import select, update

from backend.pipeline.basis.context import AppContext
from backend.pipeline.folds.queue import enqueue_folds
from backend.pipeline.runs import control
from backend.pipeline.runs.lapses import free_lapsed
from backend.pipeline.runs.upkeep import upkeep
from backend.queue import JobName
from backend.store import clock, pauses, projects
from backend.store.models import ProjectRow, RunRow, VersionRow
from backend.store.quality import scores
from backend.store.tasks import predictions, readings
from backend.store.training import notices, runs
from domain.states import FOLD, FoldStatus, RunControl, RunStatus

logger = logging.getLogger(__name__)

# Time Label Studio gets to store an answer of /predict by itself.
PUSH_AFTER_S = 10.0
# A reading that was asked for after a hint but did not close it (Label Studio down, the job lost)
# is asked for again after this.
RETRY_SYNC_S = 15.0

# A run at one of these pushes by itself.
CHANGING_CHAMPION = (RunStatus.EVALUATING, RunStatus.SCORING, RunStatus.PUBLISHING)

Job = tuple[JobName, tuple[int, ...]]


def rounds(context: AppContext) -> Callable[[], None]:
    """``tick`` with upkeep from time to time; the first round also has all of every project read.

    Nobody knows what was done to Label Studio while nnloop did not run: it may have been put back
    to what it held some time before.
    """
    first = [True]
    keep_up = upkeep()

    def round_() -> None:
        if first:
            with context.store.begin() as session:
                readings.doubt_all(session, "nnloop was started")
            first.clear()
        tick(context)
        keep_up(context)

    return round_


def tick(context: AppContext) -> None:
    """One round: syncs that are due, runs that wait for a step, folds that wait for a worker."""
    context.queue.claim()
    free_lapsed(context)
    _end_cancelled(context)
    due = [*_due_syncs(context), *_open_work(context), *_due_pushes(context)]
    for name, ids in [*due, *_due_notices(context)]:
        if context.queue.ensure(name, *ids):
            logger.debug("Enqueued %s%s.", name, ids)
    enqueue_folds(context)


def _end_cancelled(context: AppContext) -> None:
    with context.store.begin() as session:
        cancelled = [r.id for r in runs.active_runs(session) if r.control == RunControl.CANCEL]
    for run_id in cancelled:
        control.settle(context, run_id)


def _due_syncs(context: AppContext) -> list[Job]:
    settings = context.settings
    with context.store.begin() as session:
        now = clock.now()
        newest_hint = dict(projects.open_hints(session))
        due = set()
        # Times alone: a project whose settings can't be read must not keep all others waiting.
        times = select(ProjectRow.id, ProjectRow.sync_asked_at, ProjectRow.synced_at)
        for project_id, asked_before, synced in session.execute(times).all():
            asked_at = asked_before or 0.0
            hinted_at = newest_hint.get(project_id)
            # Times still to come are of a clock that was set back since.
            is_fresh = any(
                clock.is_recent(at, settings.sync_interval_s) for at in (synced or 0.0, asked_at)
            )
            if not is_fresh or (
                hinted_at is not None
                and not clock.is_recent(hinted_at, settings.debounce_s)
                and (asked_at < hinted_at or not clock.is_recent(asked_at, RETRY_SYNC_S))
            ):
                due.add(project_id)
        # Asked, not done: a Label Studio that is down is not asked every second.
        if due:
            asked = update(ProjectRow).where(ProjectRow.id.in_(due))
            session.execute(asked.values(sync_asked_at=now))
    return [(JobName.SYNC, (project_id,)) for project_id in sorted(due)]


def _open_work(context: AppContext) -> list[Job]:
    jobs: list[Job] = []
    with context.store.begin() as session:
        for run in runs.active_runs(session):
            if run.control != RunControl.RUN or run.lease_until or runs.is_pausing(run):
                continue
            jobs.extend(_jobs_of(run, runs.fold_states(session, run.id)))
    return jobs


def _due_pushes(context: AppContext) -> list[Job]:
    # A prediction made for /predict is stored by Label Studio itself when the answer came in time;
    # what it did not store by then is pushed, also while the next run trains (or is paused for
    # days). A champion whose run failed while it was being published is not shown yet.
    jobs: list[Job] = []
    with context.store.begin() as session:
        busy = {r.project_id for r in runs.active_runs(session) if r.status in CHANGING_CHAMPION}
        busy |= projects.halted(session)
        jobs.extend(
            (JobName.PUBLISH, (project_id,))
            for project_id in predictions.projects_to_withdraw(session)
            if project_id not in busy
        )
        champions = select(ProjectRow.id, VersionRow.id, VersionRow.published_at).join(
            VersionRow, VersionRow.id == ProjectRow.champion_id
        )
        paused = pauses.paused(session)
        for project_id, version_id, published_at in session.execute(champions).all():
            if project_id in busy or {(project_id, "score"), (project_id, "publish")} & paused:
                continue
            if published_at is None and predictions.unscored_tasks(
                session, project_id, version_id, 1, retry=False
            ):
                # Put in service by hand: what it has not seen first, then all is pushed.
                jobs.append((JobName.SCORE, (project_id, 0)))
            elif published_at is None or predictions.is_push_due(session, version_id, PUSH_AFTER_S):
                jobs.append((JobName.PUBLISH, (project_id,)))
            elif scores.is_any_rescored(session, version_id):
                jobs.append((JobName.PUSH, (project_id,)))
    return jobs


def _due_notices(context: AppContext) -> list[Job]:
    with context.store.read() as session:
        return [(JobName.NOTIFY, (project_id,)) for project_id in notices.due_projects(session)]


def _jobs_of(run: RunRow, folds: list[FoldStatus]) -> list[Job]:
    if run.status == RunStatus.SCORING:
        return [(JobName.SCORE, (run.project_id, 0))]
    if run.status == RunStatus.PUBLISHING:
        return [(JobName.PUBLISH, (run.project_id,))]
    is_open = any(status in FOLD.active for status in folds) and FoldStatus.FAILED not in folds
    if run.status == RunStatus.TRAINING and is_open:
        return []  # its folds wait for their turn, or are at work
    return [(JobName.ADVANCE, (run.id,))]
