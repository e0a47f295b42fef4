"""The run ledger: TrainingRuns, their folds, the versions they made."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, defer

from backend.store.models import FoldRow, ProjectRow, RunRow, VersionRow
from domain.status import FoldStatus, RunStatus, VersionStatus

# A job renews its lease at least this often per third; after it, another job may take over.
LEASE_S = 20.0

FINAL = (RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED)


def active_run(session: Session, project_id: int) -> RunRow | None:
    """The project's run that is not final; there is at most one."""
    query = select(RunRow).where(RunRow.project_id == project_id, RunRow.status.not_in(FINAL))
    return session.scalar(query.order_by(RunRow.id).limit(1))


def active_runs(session: Session) -> list[RunRow]:
    """All runs that are not final, without what grows with the number of tasks."""
    query = select(RunRow).where(RunRow.status.not_in(FINAL)).order_by(RunRow.id)
    return list(session.scalars(query.options(defer(RunRow.candidates), defer(RunRow.manifest))))


def last_run(session: Session, project_id: int) -> RunRow | None:
    """The newest run."""
    query = select(RunRow).where(RunRow.project_id == project_id)
    return session.scalar(query.order_by(RunRow.number.desc()).limit(1))


def runs_of(session: Session, project_id: int, limit: int = 20) -> list[RunRow]:
    """Newest runs first."""
    query = select(RunRow).where(RunRow.project_id == project_id)
    return list(session.scalars(query.order_by(RunRow.number.desc()).limit(limit)))


def create_run(
    session: Session, project_id: int, trigger: str, settings: dict[str, Any]
) -> RunRow | None:
    """A new queued run; None when one is active already."""
    if active_run(session, project_id) is not None:
        return None
    newest = session.scalar(select(func.max(RunRow.number)).where(RunRow.project_id == project_id))
    run = RunRow(
        project_id=project_id, number=(newest or 0) + 1, trigger=trigger, settings=settings
    )
    session.add(run)
    session.flush()
    return run


def claim_run(session: Session, run_id: int) -> RunRow | None:
    """Takes the run's lease; None while another job holds it, or when the run is final."""
    now = time.time()
    taken = session.execute(
        update(RunRow)
        .where(
            RunRow.id == run_id,
            RunRow.lease_until < now,
            RunRow.not_before <= now,
            RunRow.status.not_in(FINAL),
        )
        .values(lease_until=now + LEASE_S)
        .execution_options(synchronize_session=False)
    )
    return session.get(RunRow, run_id) if taken.rowcount else None  # type: ignore[attr-defined]


def renew_run(session: Session, run_id: int) -> None:
    """Prolongs the lease of a run that this job holds."""
    session.execute(
        update(RunRow).where(RunRow.id == run_id).values(lease_until=time.time() + LEASE_S)
    )


def enter_stage(session: Session, run: RunRow, status: RunStatus) -> None:
    """Moves a run on; the time spent is kept under the old stage's name."""
    now = time.time()
    spent = dict(run.seconds)
    spent[run.status] = round(spent.get(run.status, 0.0) + now - run.stage_started_at, 3)
    run.seconds = spent
    run.status = status
    run.stage_started_at = now
    run.attempts = 0
    run.not_before = 0.0
    if status.is_final:
        run.finished_at = now


def folds_of(session: Session, run_id: int) -> list[FoldRow]:
    """The run's folds in order."""
    return list(
        session.scalars(select(FoldRow).where(FoldRow.run_id == run_id).order_by(FoldRow.fold))
    )


def claim_fold(session: Session, run_id: int, fold: int, worker: str) -> FoldRow | None:
    """Takes a fold's lease; None while another job holds it, or when the fold is over."""
    now = time.time()
    taken = session.execute(
        update(FoldRow)
        .where(
            FoldRow.run_id == run_id,
            FoldRow.fold == fold,
            FoldRow.lease_until < now,
            FoldRow.status.in_((FoldStatus.QUEUED, FoldStatus.RUNNING)),
        )
        .values(
            lease_until=now + LEASE_S,
            status=FoldStatus.RUNNING,
            worker=worker,
            started_at=func.coalesce(FoldRow.started_at, now),
        )
        .execution_options(synchronize_session=False)
    )
    if not taken.rowcount:  # type: ignore[attr-defined]
        return None
    return session.scalar(select(FoldRow).where(FoldRow.run_id == run_id, FoldRow.fold == fold))


def versions_of(session: Session, project_id: int) -> list[VersionRow]:
    """All versions, oldest first."""
    query = select(VersionRow).where(VersionRow.project_id == project_id)
    return list(session.scalars(query.order_by(VersionRow.id)))


def version_of_run(session: Session, run_id: int) -> VersionRow | None:
    """The version a run made."""
    return session.scalar(select(VersionRow).where(VersionRow.run_id == run_id))


def champion(session: Session, project_id: int) -> VersionRow | None:
    """The version that serves."""
    project = session.get(ProjectRow, project_id)
    if project is None or project.champion_id is None:
        return None
    return session.get(VersionRow, project.champion_id)


def promote(session: Session, version: VersionRow) -> None:
    """Moves the champion pointer to a version; the old champion retires. One transaction."""
    project = session.get_one(ProjectRow, version.project_id)
    old = champion(session, version.project_id)
    if old is not None and old.id != version.id:
        old.status = VersionStatus.RETIRED
    version.status = VersionStatus.CHAMPION
    version.promoted_at = time.time()
    project.champion_id = version.id


def mark_published(session: Session, version_id: int) -> None:
    """Notes that Label Studio now shows this version."""
    session.get_one(VersionRow, version_id).published_at = time.time()
