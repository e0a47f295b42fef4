"""Trains one fold of a run and keeps the ledger in step with it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from backend.pipeline.context import AppContext
from backend.queue import JobName, stop_requested
from backend.settings import ProjectSettings
from backend.store import runs
from backend.store.models import FoldRow, RunRow
from domain.case import Manifest
from domain.errors import TrainingError
from domain.status import FoldStatus, RunStatus
from training.fold_runner import run_fold
from training.folds import FINAL, EpochProgress, FoldOutcome, FoldSpec
from training.presets import preset_by_name

logger = logging.getLogger(__name__)

# A fold whose child failed is tried once more: a killed or starved child often succeeds then.
MAX_ATTEMPTS = 2
# A fold whose worker itself dies each time (the machine kills it for memory, say) is given up after
# this many starts.
MAX_STARTS = 8


@dataclass(frozen=True, slots=True)
class WorkerDevice:
    """Where this worker trains: nnU-Net's device name and the CPU threads it may use."""

    name: str = "cpu"
    threads: int = 1


def train_fold(
    context: AppContext, run_id: int, fold: int, device: WorkerDevice, worker: str
) -> None:
    """Trains a fold to its end. Does nothing while another job holds the fold.

    A fold that was interrupted goes on from its last epoch; one that failed twice fails the run.
    """
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        if run.status != RunStatus.TRAINING:
            return
        row = runs.claim_fold(session, run_id, fold, worker)
        if row is None:
            return
        row.device = device.name
        row.attempts += 1
        attempts = row.attempts
        if attempts > MAX_STARTS:
            row.status = FoldStatus.FAILED
            row.error = (
                f"Its worker died {MAX_STARTS} times. See the worker's and the system's log; "
                "a smaller preset needs less memory."
            )
            row.lease_until = 0.0
            return
        warm_start = _warm_start(session, run, fold)
    spec = _spec(context, run, fold, device, warm_start)
    ledger = _FoldLedger(context, row.id, worker)
    try:
        outcome = run_fold(
            spec, ledger.progress, lambda: ledger.should_stop, on_heartbeat=ledger.heartbeat
        )
    except TrainingError as error:
        message = f"{error} {error.remedy}".strip()
        logger.warning("Run %d, fold %d: %s", run_id, fold, message)
        ledger.failed(message, is_final=attempts >= MAX_ATTEMPTS)
    except Exception as error:
        # A full disk, a bug: left to the queue, the fold would be tried again for ever.
        logger.exception("Run %d, fold %d", run_id, fold)
        message = f"Unexpected {type(error).__name__}: {error}; the log has the details."
        ledger.failed(message, is_final=attempts >= MAX_ATTEMPTS)
    else:
        if outcome.finished:
            ledger.done(outcome)
        else:
            ledger.interrupted()
    context.queue.ensure(JobName.ADVANCE, run_id)


def _spec(
    context: AppContext, run: RunRow, fold: int, device: WorkerDevice, warm_start: str | None
) -> FoldSpec:
    manifest = run.manifest or {}
    settings = ProjectSettings.model_validate(run.settings)
    return FoldSpec(
        workspace_root=str(context.settings.data_dir),
        project_id=run.project_id,
        run=str(run.number),
        fold=fold,
        class_values=tuple(manifest["class_values"]),
        preset=preset_by_name(manifest["preset"]),
        device=device.name,
        budget_s=settings.fold_budget_s,
        threads=device.threads,
        warm_start=warm_start,
        seed=settings.seed,
    )


def _warm_start(session: Session, run: RunRow, fold: int) -> str | None:
    """The champion's checkpoint of the same fold, unless it has seen what this fold holds out."""
    if not ProjectSettings.model_validate(run.settings).warm_start:
        return None
    champion = runs.champion(session, run.project_id)
    if champion is None:
        return None
    champion_run = session.get_one(RunRow, champion.run_id)
    if not (champion_run.manifest and run.manifest):
        return None
    old, new = Manifest.from_json(champion_run.manifest), Manifest.from_json(run.manifest)
    held_out = {entry.group for entry in new.entries if entry.fold == fold}
    trained_on = {entry.group for entry in old.entries if entry.fold != fold}
    checkpoint = Path(champion.path) / f"fold_{fold}" / FINAL
    if held_out & trained_on or old.class_values != new.class_values or not checkpoint.exists():
        return None
    return str(checkpoint)


class _FoldLedger:
    """Writes what happens to a fold into its row."""

    def __init__(self, context: AppContext, fold_id: int, worker: str) -> None:
        self._store = context.store
        self._fold_id = fold_id
        self._worker = worker
        self._renewed = time.monotonic()
        self._is_over = False

    @property
    def should_stop(self) -> bool:
        return stop_requested() or self._is_over

    def progress(self, epoch: EpochProgress) -> None:
        with self._store.begin() as session:
            row = session.get_one(FoldRow, self._fold_id)
            row.epoch, row.epochs = epoch.epoch, epoch.epochs
            row.train_loss, row.dice = epoch.train_loss, epoch.dice
            row.lease_until = time.time() + runs.LEASE_S

    def heartbeat(self) -> None:
        if time.monotonic() - self._renewed < runs.LEASE_S / 5:
            return
        self._renewed = time.monotonic()
        with self._store.begin() as session:
            row = session.get_one(FoldRow, self._fold_id)
            run = session.get_one(RunRow, row.run_id)
            # Another worker has the fold when this one stood still for longer than its lease.
            self._is_over = RunStatus(run.status).is_final or row.worker != self._worker
            if not self._is_over:
                row.lease_until = time.time() + runs.LEASE_S

    def done(self, outcome: FoldOutcome) -> None:
        with self._store.begin() as session:
            row = session.get_one(FoldRow, self._fold_id)
            row.status = FoldStatus.DONE
            row.error = ""
            row.finished_at = time.time()
            row.epoch = row.epochs = outcome.epochs
            row.lease_until = 0.0
            row.result = {
                "dice_per_case": {k: dict(v) for k, v in outcome.dice_per_case.items()},
                "dice_per_class": dict(outcome.dice_per_class),
                "seconds": outcome.seconds,
                "device": outcome.device,
                "warm_started": outcome.warm_started,
            }

    def failed(self, message: str, *, is_final: bool) -> None:
        with self._store.begin() as session:
            row = session.get_one(FoldRow, self._fold_id)
            if row.worker != self._worker:
                return
            row.status = FoldStatus.FAILED if is_final else FoldStatus.QUEUED
            row.error = message
            row.lease_until = 0.0

    def interrupted(self) -> None:
        with self._store.begin() as session:
            row = session.get_one(FoldRow, self._fold_id)
            if row.worker != self._worker:
                return
            row.status = FoldStatus.QUEUED
            row.attempts -= 1
            row.lease_until = 0.0
