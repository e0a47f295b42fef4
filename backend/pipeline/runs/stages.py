"""The TrainingRun's way from queued to done: one step a call, each can be taken twice."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from backend.log_lines import about, carried
from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import sentence_of
from backend.pipeline.cases import prepare
from backend.pipeline.folds.budget import FLOOR_S, budget_of, folds_that_fit
from backend.pipeline.folds.queue import enqueue_folds, training_workers
from backend.pipeline.folds.warm_start import choose_starts
from backend.pipeline.gate import judge_run
from backend.pipeline.runs import control
from backend.pipeline.runs.ends import fail, finish, retry
from backend.queue import JobName, stop_requested
from backend.store.models import RunRow
from backend.store.tasks import problems
from backend.store.training import leases, runs
from domain.errors import LabelStudioError, NnloopError, StackError, TransitionError
from domain.states import FoldStatus, RunStatus
from domain.text import counted

logger = logging.getLogger(__name__)

# A disk that is full, or a quota that is used up, does not empty itself: tried once.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

# A step looks this often whether its run was paused or cancelled.
CONTROL_S = 1.0


class InterruptedStepError(NnloopError):
    """The worker or the run was asked to stop; the step is taken up again where it was left."""


def advance(context: AppContext, run_id: int, pause: Callable[[], None] = lambda: None) -> None:
    """Takes the run's next step. Does nothing while another job holds the run, or it is paused.

    Long steps call ``pause`` between two cases.
    """
    if control.settle(context, run_id):
        return
    with context.store.begin() as session:
        run = runs.claim_run(session, run_id)
    if run is None:
        return
    with about(project=run.project_id, run=run.number):
        _take(context, run, pause)


def _take(context: AppContext, run: RunRow, pause: Callable[[], None]) -> None:
    run_id = run.id
    lease = _Lease(context, run)
    try:
        with lease:
            _step(context, run, _StepBeat(context, lease, pause))
    except InterruptedStepError:
        lease.free()
        control.settle(context, run_id)
    except Exception as error:  # noqa: BLE001 - the next lines say what it was
        if lease.is_ours():
            _end_step(context, run, error)
        else:
            # This worker stood still for longer than its lease, and another one has the run; or the
            # run stands at a stage that nobody holds, and the next tick makes up for what failed.
            logger.warning("Run %d: left to others. %s", run.number, error)
    else:
        lease.free()
        control.settle(context, run_id)


def _end_step(context: AppContext, run: RunRow, error: Exception) -> None:
    if isinstance(error, TransitionError):
        logger.warning("Run %d: left to others. %s", run.number, error)
    elif isinstance(error, LabelStudioError | StackError):
        retry(context, run.id, error)
    elif isinstance(error, NnloopError):
        fail(context, run.id, sentence_of(error))
    else:
        logger.error("Run %d: %s failed.", run.number, run.status, exc_info=error)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            fail(context, run.id, _disk_full(context, error))
        else:
            retry(context, run.id, error)


def _step(context: AppContext, run: RunRow, beat: Beat) -> None:
    if RunStatus(run.status).is_before_training:
        _enter(context, run.id, RunStatus.PREPARING)
        prepare.prepare_run(context, run.id, beat)
        _start_training(context, run.id)
    elif run.status == RunStatus.TRAINING:
        if _folds_are_done(context, run.id):
            _enter(context, run.id, RunStatus.EVALUATING)
            _evaluate(context, run, beat)
    elif run.status == RunStatus.EVALUATING:
        _evaluate(context, run, beat)


def _evaluate(context: AppContext, run: RunRow, beat: Beat) -> None:
    if judge_run.evaluate_run(context, run.id, beat):
        _enter(context, run.id, RunStatus.SCORING)
        context.queue.ensure(JobName.SCORE, run.project_id, 0)
    else:
        finish(context, run.id)
    # Whether it serves or not, it doubts labels. A reading would tell of them, too.
    with suppress(StackError):
        context.queue.ensure(JobName.CHECK, run.project_id)


def _start_training(context: AppContext, run_id: int) -> None:
    """Enters the stage; under a budget too small for all folds, with fewer of them.

    How the folds start is decided here, for all of them and for good.
    """
    n_workers = max(training_workers(context.queue), 1)
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        budget_s = budget_of(run)
        rows = runs.folds_of(session, run_id)
        n_fitting = folds_that_fit(budget_s, len(rows), n_workers) if budget_s else len(rows)
        notes = []
        if n_fitting < len(rows):
            notes.append(
                f"{n_fitting} of {len(rows)} folds are trained: the budget of {budget_s:g} s gives "
                f"the others less than {FLOOR_S:g} s each on {counted(n_workers, 'worker')}."
            )
        for row in rows[n_fitting:]:
            session.delete(row)
        runs.enter_stage(session, run, RunStatus.TRAINING)
        folds = [row.fold for row in rows[:n_fitting]]
        starts = choose_starts(session, context.workspace(run.project_id), run, folds)
        run.manifest = replace(runs.manifest_of(run), starts=starts.of_folds)
        run.note = " ".join(filter(None, [*notes, starts.note]))
        if run.note:
            logger.warning("Run %d: %s", run.number, run.note)
        run.error = ""
        problems.close_unprepared(session, run.project_id)
    enqueue_folds(context)


def _folds_are_done(context: AppContext, run_id: int) -> bool:
    with context.store.begin() as session:
        folds = runs.folds_of(session, run_id)
    failed = [row for row in folds if row.status == FoldStatus.FAILED]
    if failed:
        raise NnloopError(f"Fold {failed[0].fold} failed: {failed[0].error}")
    return all(row.status == FoldStatus.DONE for row in folds)


def _enter(context: AppContext, run_id: int, status: RunStatus) -> None:
    with context.store.begin() as session:
        run = runs.locked(session, run_id)
        if run.status != status:
            runs.enter_stage(session, run, status)
            run.error = ""


class _Lease:
    """The lease of a run that was claimed; renewed from a thread while the block lasts.

    nnU-Net's planning alone can outlast a lease.
    """

    def __init__(self, context: AppContext, run: RunRow) -> None:
        self._context, self.run_id = context, run.id
        self._written = run.lease_until
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=carried(self._keep), name="lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def is_ours(self) -> bool:
        """Whether the run is still as this worker has it; if so, it is renewed."""
        return self._change(leases.next_lease())

    def free(self) -> None:
        """Lets others have the run, if it is still ours."""
        self._change(0.0)

    def _change(self, wanted: float) -> bool:
        with self._lock, self._context.store.begin() as session:
            is_ours = runs.change_lease(session, self.run_id, self._written, wanted)
            if is_ours:
                self._written = wanted
            return is_ours

    def _keep(self) -> None:
        while not self._ended.wait(leases.LEASE_S / 4):
            try:
                self.is_ours()
            except SQLAlchemyError:
                logger.warning("The run's lease could not be renewed.", exc_info=True)


class _StepBeat:
    """For long steps to call: ends the step when the worker or the run was asked to stop."""

    def __init__(self, context: AppContext, lease: _Lease, pause: Callable[[], None]) -> None:
        self._context = context
        self._lease = lease
        self._pause = pause
        self._looked = time.monotonic()

    def __call__(self) -> None:
        self._pause()
        if stop_requested():
            raise InterruptedStepError("The worker was asked to end.")
        if time.monotonic() - self._looked < CONTROL_S:
            return
        self._looked = time.monotonic()
        with self._context.store.begin() as session:
            if not runs.may_go_on(session, self._lease.run_id):
                raise InterruptedStepError("The run was paused or cancelled.")
        if not self._lease.is_ours():
            raise InterruptedStepError("Another worker has the run.")


def _disk_full(context: AppContext, error: OSError) -> str:
    return (
        f"The disk of {context.settings.data_dir} is full ({error.strerror}). "
        "Free some space, then start a training again (nnloop train)."
    )
