"""Trains one fold of a run and keeps the ledger in step with it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from backend.log_lines import about
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import sentence_of
from backend.pipeline.folds.budget import fold_budget
from backend.pipeline.folds.ledger import FoldLedger
from backend.pipeline.folds.queue import enqueue_folds, training_workers
from backend.pipeline.folds.warm_start import checkpoint_of
from backend.queue import JobName, stop_requested
from backend.store import clock
from backend.store.models import RunRow
from backend.store.training import runs
from backend.store.training.runs import may_go_on
from domain.errors import (
    DiskFullError,
    SettingsError,
    StackError,
    TrainerError,
    TrainingError,
)
from domain.states import FoldStatus, RunStatus
from training.folds.runner import run_fold
from training.folds.seeds import fold_seed
from training.folds.spec import FoldSpec
from training.processes.forked import ForkServer
from training.versions.manifests import FoldStart

logger = logging.getLogger(__name__)

# A fold whose child failed is tried once more: a killed or starved child often succeeds then. One
# that gets further each time, or whose worker dies each time (the machine kills it for memory,
# say), is given up after this many starts.
MAX_STARTS = 8


@dataclass(frozen=True, slots=True)
class WorkerDevice:
    """Where this worker trains: nnU-Net's device name and the CPU threads it may use."""

    name: str = "cpu"
    threads: int = 1


def train_fold(
    context: AppContext,
    run_id: int,
    fold: int,
    device: WorkerDevice,
    worker: str,
    *,
    forks: ForkServer | None = None,
) -> None:
    """Trains a fold to its end. Does nothing while another job holds it, or the run is paused.

    A fold that was interrupted goes on from its last epoch; one that failed twice at
    the same place fails the run. ``forks`` as for ``run_fold``.
    """
    n_workers = max(training_workers(context.queue), 1)
    with context.store.begin() as session:
        run = session.get(RunRow, run_id)
        if run is None:
            return  # forgotten with its project since it was given, or by an older store
        if run.status != RunStatus.TRAINING or not may_go_on(session, run_id):
            return
        row = runs.claim_fold(session, run_id, fold, worker)
        if row is None:
            return
        runs.note_wait(session, run, fold)
        row.device = device.name
        row.attempts += 1
        if row.attempts > MAX_STARTS:
            runs.move_fold(session, row, FoldStatus.FAILED)
            row.error = (
                f"It was started {MAX_STARTS} times and did not end; at last: "
                f"{row.error or 'its worker died.'} See the worker's and the system's log; a "
                "smaller preset needs less memory."
            )
            return  # the next tick ends the run
        start = (run.manifest and run.manifest.start_of(fold)) or FoldStart(
            seed=fold_seed(run.settings.seed, run.number, fold)
        )
        checkpoint = checkpoint_of(session, run, start)
        budget_s = fold_budget(session, run, fold, n_workers, clock.now())
        row.eta_s = budget_s
    with about(project=run.project_id, run=run.number, fold=fold):
        _enqueue_next(context)
        ledger = FoldLedger(context.store, row, worker)
        try:
            if (start.version or start.path) and checkpoint is None:
                logger.warning(
                    "Run %d, fold %d starts from fresh weights: those of %s are gone.",
                    run.number,
                    fold,
                    start.version or start.path,
                )
            plan = _Plan(fold, start, checkpoint, budget_s)
            spec = _spec(context, run, plan, device)
            result = run_fold(
                spec,
                ledger.progress,
                lambda: ledger.should_stop,
                on_heartbeat=ledger.heartbeat,
                forks=forks,
            )
        except (TrainingError, SettingsError) as error:
            message = sentence_of(error)
            logger.warning("Run %d, fold %d: %s", run.number, fold, message)
            if stop_requested() and not isinstance(error, DiskFullError):
                ledger.interrupted()  # the signal that ends this worker reached its child, too
            else:
                ledger.failed(message, is_final=isinstance(error, DiskFullError | TrainerError))
        except Exception as error:
            # A bug: left to the queue, the fold would be tried again for ever.
            logger.exception("Run %d, fold %d", run.number, fold)
            ledger.failed(sentence_of(error))
        else:
            if result is None:
                ledger.interrupted()
            else:
                ledger.done(result)
        _enqueue_next(context, run_id)


def _enqueue_next(context: AppContext, run_id: int | None = None) -> None:
    try:
        if run_id is not None:
            context.queue.ensure(JobName.ADVANCE, run_id)
        enqueue_folds(context)
    except StackError as error:
        # What has happened is in the store, and the tick asks for what follows once Redis is back.
        logger.warning("%s", error)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of a fold's training is decided when it starts."""

    fold: int
    start: FoldStart
    checkpoint: Path | None
    budget_s: float | None


def _spec(context: AppContext, run: RunRow, plan: _Plan, device: WorkerDevice) -> FoldSpec:
    manifest = runs.manifest_of(run)
    return FoldSpec(
        workspace_root=str(context.settings.data_dir),
        project_id=run.project_id,
        run=str(run.number),
        fold=plan.fold,
        class_values=manifest.class_values,
        preset=manifest.preset,
        device=device.name,
        budget_s=plan.budget_s,
        threads=device.threads,
        warm_start=None if plan.checkpoint is None else str(plan.checkpoint),
        head=None if plan.checkpoint is None else plan.start.head,
        seed=plan.start.seed,
        # The only fold of a set with one group is trained on everything.
        holds_out=manifest.n_folds > 1,
        symmetries=manifest.symmetries,
    )
