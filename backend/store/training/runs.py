"""The run ledger: TrainingRuns and their folds. Their states change here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, case, cast, func, select, update
from sqlalchemy.orm import Session, defer

from backend.settings import RunSettings
from backend.store import clock, projects
from backend.store.models import FoldRow, ProjectRow, RunRow
from backend.store.training.leases import next_lease
from domain.annotation import LeftOut
from domain.errors import TrainingError, TransitionError
from domain.states import CONTROL, FOLD, RUN, FoldStatus, RunControl, RunStatus
from training.presets import Preset
from training.versions.manifests import RunManifest

MAX_ATTEMPTS = 8
FIRST_PAUSE_S = 5.0
"""A step that fails for a reason that may pass (Label Studio down, a bug that needs the log) is
tried this often, the pause doubling from the first one: over 10 minutes in all, enough for an
upgrade of Label Studio."""

_PAUSES = {n: FIRST_PAUSE_S * 2.0 ** (n - 1) for n in range(1, MAX_ATTEMPTS + 1)}
_PAUSE_OF_ROW = case(_PAUSES, value=RunRow.attempts, else_=_PAUSES[MAX_ATTEMPTS])

# The name of the time a run stood still, beside those of its stages.
PAUSED = "paused"

# And of the time its folds waited for a worker: others' folds may train for hours before.
WAITED = "waited"


def active_run(session: Session, project_id: int, status: RunStatus | None = None) -> RunRow | None:
    """The project's run that is not final, if it stands at this status; there is at most one."""
    at = RUN.active if status is None else (status,)
    query = select(RunRow).where(RunRow.project_id == project_id, RunRow.status.in_(at))
    return session.scalar(query.order_by(RunRow.id).limit(1))


def active_runs(session: Session) -> list[RunRow]:
    """All runs that are not final, without what grows with the number of tasks.

    No document of theirs is read before it is asked for: one that can't be read is its run's fault
    alone.
    """
    query = select(RunRow).where(RunRow.status.in_(RUN.active)).order_by(RunRow.id)
    documents = (RunRow.candidates, RunRow.manifest, RunRow.settings, RunRow.seconds)
    return list(session.scalars(query.options(*map(defer, documents))))


def last_run(session: Session, project_id: int) -> RunRow | None:
    """The newest run, without its manifest."""
    query = select(RunRow).where(RunRow.project_id == project_id).options(defer(RunRow.manifest))
    return session.scalar(query.order_by(RunRow.number.desc()).limit(1))


def runs_of(
    session: Session, project_id: int, limit: int = 20, *, number: int | None = None
) -> list[RunRow]:
    """Newest runs first, or the one of a number, without what grows with the number of tasks."""
    query = select(RunRow).where(RunRow.project_id == project_id)
    if number is not None:
        query = query.where(RunRow.number == number)
    query = query.options(defer(RunRow.candidates), defer(RunRow.manifest))
    return list(session.scalars(query.order_by(RunRow.number.desc()).limit(limit)))


def with_old_candidates(session: Session, limit: int) -> list[int]:
    """Ids of runs that are over, are not their project's newest, and still have candidates."""
    newest = (
        select(RunRow.project_id, func.max(RunRow.number).label("number"))
        .group_by(RunRow.project_id)
        .subquery()
    )
    query = (
        select(RunRow.id)
        .join(newest, newest.c.project_id == RunRow.project_id)
        .where(
            RunRow.status.in_(RUN.final),
            RunRow.number < newest.c.number,
            func.length(cast(RunRow.candidates, Text)) > len("{}"),
        )
    )
    return list(session.scalars(query.limit(limit)))


def forget_candidates(session: Session, run_ids: Sequence[int]) -> None:
    """Deletes what was annotated when runs started.

    The newest run of a project needs it: what has changed since is told by it. What was trained on
    stands in the manifest.
    """
    session.execute(update(RunRow).where(RunRow.id.in_(run_ids)).values(candidates={}))


def sizes_of(session: Session, run_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Run id -> (cases trained on, tasks left out) of its manifest; 0 without one.

    A task that is in counts as one whatever is remarked of it.
    """
    query = select(
        RunRow.id,
        func.json_array_length(RunRow.manifest["entries"]),
        # As text: of a run without a manifest SQLite makes JSON's null of it.
        RunRow.manifest["left_out"].as_string(),
    ).where(RunRow.id.in_(run_ids))
    return {
        run_id: (n or 0, _n_left_out(json.loads(notes or "[]")))
        for run_id, n, notes in session.execute(query)
    }


def _n_left_out(notes: Sequence[Mapping[str, Any]]) -> int:
    # Thousands of them in each of twenty runs: they are not validated to be counted.
    return len({note["task_id"] for note in notes if LeftOut(**note).is_whole_task})


def presets_of(session: Session, run_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Run id -> the preset in its manifest, and why; "" without one."""
    name, reason = RunRow.manifest["preset"]["name"], RunRow.manifest["preset_reason"]
    query = select(RunRow.id, name.as_string(), reason.as_string()).where(RunRow.id.in_(run_ids))
    return {run_id: (name or "", reason or "") for run_id, name, reason in session.execute(query)}


def last_automatic_preset(session: Session, project_id: int) -> Preset | None:
    """The preset of the newest run whose setting ``preset`` was 'auto'; None without one."""
    query = select(RunRow).where(
        RunRow.project_id == project_id,
        RunRow.settings["preset"].as_string() == "auto",
        RunRow.manifest["preset"]["name"].as_string().is_not(None),
    )
    run = session.scalar(query.order_by(RunRow.number.desc()).limit(1))
    return None if run is None or run.manifest is None else run.manifest.preset


def manifest_of(run: RunRow) -> RunManifest:
    """What a run trains on. Raises TrainingError before its cases are prepared."""
    if run.manifest is None:
        raise TrainingError(
            f"Run {run.number} has no manifest: its cases are not prepared.",
            remedy="Start another: nnloop train PROJECT.",
        )
    return run.manifest


def create_run(
    session: Session, project_id: int, trigger: str, settings: RunSettings
) -> RunRow | None:
    """A new queued run; None when one is active already."""
    projects.lock(session, project_id)
    if active_run(session, project_id) is not None:
        return None
    newest = session.scalar(select(func.max(RunRow.number)).where(RunRow.project_id == project_id))
    taken = session.scalar(select(ProjectRow.number_taken).where(ProjectRow.id == project_id))
    # A run's version has its number.
    number = max(newest or 0, taken or 0) + 1
    run = RunRow(project_id=project_id, number=number, trigger=trigger, settings=settings)
    session.add(run)
    session.flush()
    return run


def claim_run(session: Session, run_id: int) -> RunRow | None:
    """Takes the run's lease; None while another job holds it, or it is paused or over."""
    taken = session.execute(
        update(RunRow)
        .where(
            RunRow.id == run_id,
            RunRow.lease_until == 0.0,
            clock.has_come(RunRow.not_before, _PAUSE_OF_ROW),
            RunRow.status.in_(RUN.active),
            RunRow.control == RunControl.RUN,
        )
        .values(lease_until=next_lease())
        .execution_options(synchronize_session=False)
    )
    return session.get(RunRow, run_id) if taken.rowcount else None  # type: ignore[attr-defined]


def change_lease(session: Session, run_id: int, lease: float, wanted: float) -> bool:
    """Renews or frees the lease of a run, as its holder wrote it last; whether it was still so.

    It is not when the run went on to a stage that nobody holds, or this job stood still for so long
    that its lease was freed.
    """
    changed = session.execute(
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.lease_until == lease)
        .values(lease_until=wanted)
        .execution_options(synchronize_session=False)
    )
    return bool(changed.rowcount)  # type: ignore[attr-defined]


def is_pausing(run: RunRow) -> bool:
    """Whether the run waits after a step that failed."""
    return clock.is_ahead(run.not_before, _PAUSES.get(run.attempts, _PAUSES[MAX_ATTEMPTS]))


def pause_after(attempts: int) -> float:
    """Seconds until a step of a run that failed so often is tried again."""
    return _PAUSES[attempts]


def locked(session: Session, run_id: int) -> RunRow:
    """The run, as no other transaction changes it before this one has ended."""
    return session.get_one(RunRow, run_id, with_for_update=True, populate_existing=True)


def enter_stage(session: Session, run: RunRow, status: RunStatus) -> None:
    """Moves a run on; the time spent is kept under the old stage's name.

    Raises TransitionError where ``RUN`` has no such transition; nothing is changed then.
    """
    session.refresh(run, ["status"], with_for_update=True)
    RUN.check(RunStatus(run.status), status)
    now = clock.now()
    run.seconds = seconds_until(run, now)
    run.status = status
    run.stage_started_at = now
    run.attempts = 0
    run.not_before = 0.0
    if not RUN.states[status].holds_lease:
        run.lease_until = 0.0
    if status.is_final:
        run.finished_at = now


def set_control(session: Session, run: RunRow, control: RunControl) -> None:
    """Notes what a person wants of the run. Time it stands still counts as ``paused``.

    Raises TransitionError for a run that is over, and where ``CONTROL`` has no such transition.
    """
    session.refresh(run, ["status", "control"], with_for_update=True)
    if run.control == control:
        return
    if RunStatus(run.status).is_final:
        raise TransitionError(
            f"Run {run.number} is {run.status}: nothing is wanted of it any more."
        )
    CONTROL.check(RunControl(run.control), control)
    now = clock.now()
    run.seconds = seconds_until(run, now)
    run.stage_started_at = now
    run.control = control


def seconds_in(run: RunRow, status: RunStatus, now: float) -> float:
    """Seconds the run has spent in a stage until now, pauses left out."""
    return seconds_until(run, now).get(str(status), 0.0)


def seconds_until(run: RunRow, now: float) -> dict[str, float]:
    """Seconds per stage, and ``paused``; those of the stage a run is in are counted until now."""
    if RunStatus(run.status).is_final:
        return dict(run.seconds)
    name = PAUSED if run.control == RunControl.PAUSE else str(run.status)
    return {**run.seconds, name: _elapsed(run, name, now)}


def _elapsed(run: RunRow, name: str, now: float) -> float:
    # A clock that was set back takes nothing away.
    return round(run.seconds.get(name, 0.0) + max(0.0, now - run.stage_started_at), 3)


def is_held(session: Session, run: RunRow) -> bool:
    """Whether a job works on the run or on one of its folds."""
    return bool(run.lease_until) or any(fold.lease_until for fold in folds_of(session, run.id))


def folds_of(session: Session, run_id: int) -> list[FoldRow]:
    """The run's folds in order."""
    return list(
        session.scalars(select(FoldRow).where(FoldRow.run_id == run_id).order_by(FoldRow.fold))
    )


def fold_states(session: Session, run_id: int) -> list[FoldStatus]:
    """What the run's folds are at, in order."""
    query = select(FoldRow.status).where(FoldRow.run_id == run_id).order_by(FoldRow.fold)
    return list(session.scalars(query))


def claim_fold(session: Session, run_id: int, fold: int, worker: str) -> FoldRow | None:
    """Takes a fold's lease; None while another job holds it, or when the fold is over."""
    taken = session.execute(
        update(FoldRow)
        .where(
            FoldRow.run_id == run_id,
            FoldRow.fold == fold,
            FoldRow.lease_until == 0.0,
            FoldRow.status.in_(FOLD.before(FoldStatus.RUNNING)),
        )
        .values(
            lease_until=next_lease(),
            status=FoldStatus.RUNNING,
            worker=worker,
            started_at=func.coalesce(FoldRow.started_at, clock.now()),
        )
        .execution_options(synchronize_session=False)
    )
    if not taken.rowcount:  # type: ignore[attr-defined]
        return None
    return session.scalar(select(FoldRow).where(FoldRow.run_id == run_id, FoldRow.fold == fold))


def note_wait(session: Session, run: RunRow, fold: int) -> None:
    """The fold was claimed; if it is the run's first, the time until now counts as ``waited``.

    Training, and a budget for it, begins with the first fold.
    """
    session.refresh(run, ["seconds", "stage_started_at"], with_for_update=True)
    others = (row for row in folds_of(session, run.id) if row.fold != fold)
    if WAITED in run.seconds or any(row.started_at is not None for row in others):
        return
    now = clock.now()
    seconds = seconds_until(run, now)
    waited = seconds.pop(str(RunStatus.TRAINING), 0.0)
    run.seconds = {**seconds, WAITED: waited}
    run.stage_started_at = now


def move_fold(session: Session, fold: FoldRow, status: FoldStatus) -> None:
    """Moves a fold on that a worker has claimed; the lease ends, and so does its time left.

    Raises TransitionError where ``FOLD`` has no such transition; nothing is changed then.
    """
    session.refresh(fold, ["status"], with_for_update=True)
    FOLD.check(FoldStatus(fold.status), status)
    fold.status = status
    fold.lease_until = 0.0
    fold.eta_s = None


def may_go_on(session: Session, run_id: int) -> bool:
    """Whether the run is neither paused, nor to be cancelled, nor over."""
    run = session.get_one(RunRow, run_id)
    return run.control == RunControl.RUN and not RunStatus(run.status).is_final
