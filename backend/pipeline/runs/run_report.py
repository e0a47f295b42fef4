"""What a run stands at: its folds, what it was asked for, and when it will be trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from backend.pipeline.basis.report import Report
from backend.pipeline.folds.budget import budget_of
from backend.pipeline.folds.queue import what_folds_wait_for
from backend.store import clock
from backend.store.models import FoldRow, RunRow
from backend.store.training import runs
from domain.states import FOLD, FoldStatus, RunControl, RunStatus


class FoldReport(Report):
    """One fold's progress.

    ``dice`` is nnU-Net's pseudo Dice while it trains, ``case_dice`` the full-image Dice of held-out
    cases, the mean over the classes that are there (None: none is); ``eta_s`` the seconds until its
    result. At its end are known: ``batch_size``, whether memory that ran out made it smaller, and
    ``stopped``, see ``FoldResult``.
    """

    fold: int
    status: FoldStatus
    epoch: int
    epochs: int
    train_loss: float | None
    val_loss: float | None
    dice: float | None
    case_dice: float | None
    eta_s: float | None
    device: str
    attempts: int
    error: str
    batch_size: int | None = None
    has_smaller_batch: bool = False
    stopped: str = ""


class RunReport(Report):
    """One training run. ``seconds`` is the time spent per stage until now, or ``paused``.

    ``preset`` and ``preset_reason``, why 'auto' has taken it, are "" until its cases are prepared.
    ``eta_s`` is the seconds until the last fold's result; None while nobody can tell. ``note``
    says what was done otherwise than asked, ``waits_for`` whose folds the trainers are at while
    folds of this run wait.
    """

    id: int
    number: int
    status: RunStatus
    control: RunControl
    trigger: str
    preset: str
    preset_reason: str
    budget_s: float | None
    eta_s: float | None
    labels: int
    left_out: int
    error: str
    note: str
    waits_for: str
    seconds: dict[str, float]
    created_at: float
    finished_at: float | None
    folds: tuple[FoldReport, ...]


def run_reports(
    session: Session, project_id: int, n_workers: int, *, number: int | None = None
) -> tuple[RunReport, ...]:
    """The newest runs of a project, newest first, or the one of a number.

    Args:
        session: A session of the store.
        project_id: Which.
        n_workers: Training workers alive.
        number: Of the run within the project.
    """
    rows = runs.runs_of(session, project_id, number=number)
    sizes = runs.sizes_of(session, [row.id for row in rows])
    presets = runs.presets_of(session, [row.id for row in rows])
    return tuple(
        _run_report(session, row, n_workers, sizes[row.id], presets[row.id]) for row in rows
    )


def _run_report(
    session: Session,
    run: RunRow,
    n_workers: int,
    sizes: tuple[int, int],
    preset: tuple[str, str],
) -> RunReport:
    labels, left_out = sizes
    rows = runs.folds_of(session, run.id)
    is_training = run.status == RunStatus.TRAINING and run.control == RunControl.RUN
    return RunReport(
        id=run.id,
        number=run.number,
        status=RunStatus(run.status),
        control=RunControl(run.control),
        trigger=run.trigger,
        budget_s=budget_of(run),
        preset=preset[0],
        preset_reason=preset[1],
        eta_s=training_eta_s(rows, n_workers) if is_training else None,
        labels=labels,
        left_out=left_out,
        error=run.error,
        note=run.note,
        waits_for=what_folds_wait_for(session, run.id) if is_training else "",
        seconds=runs.seconds_until(run, clock.now()),
        created_at=run.created_at,
        finished_at=run.finished_at,
        folds=tuple(map(_fold_report, rows)),
    )


def training_eta_s(folds: Sequence[FoldRow], n_workers: int) -> float | None:
    """Seconds until the last fold's result; None before any fold says how long it takes.

    Folds that wait are taken to last as long as the mean of those that ended or train, each
    starting on the worker that is free first.
    """
    running = [f for f in folds if f.status == FoldStatus.RUNNING and f.eta_s is not None]
    waiting = [f for f in folds if f.status in FOLD.active and f.eta_s is None]
    lasted = [f.result.seconds for f in folds if f.result]
    # What a running one lasts is not in the ledger; its share of epochs tells.
    lasted += [
        (f.eta_s or 0.0) * f.epochs / (f.epochs - f.epoch)
        for f in running
        if 0 < f.epoch < f.epochs
    ]
    if waiting and not lasted:
        return None
    busy = [f.eta_s or 0.0 for f in running]
    # One at least: a report is also made where nobody can ask Redis for the workers.
    free_in = busy + [0.0] * (max(n_workers, 1) - len(busy))
    for _ in waiting:
        first = free_in.index(min(free_in))
        free_in[first] += float(np.mean(lasted))
    return max(free_in)


def _fold_report(row: FoldRow) -> FoldReport:
    result = row.result
    return FoldReport(
        fold=row.fold,
        status=FoldStatus(row.status),
        epoch=row.epoch,
        epochs=row.epochs,
        train_loss=row.train_loss,
        val_loss=row.val_loss,
        dice=row.dice,
        case_dice=row.case_dice,
        eta_s=row.eta_s,
        device=row.device,
        attempts=row.attempts,
        error=row.error,
        batch_size=result.batch_size if result else None,
        has_smaller_batch=result is not None and result.has_smaller_batch,
        stopped=result.stopped if result else "",
    )
