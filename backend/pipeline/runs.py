"""The TrainingRun's way from queued to done: one step a call, each can be taken twice."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from backend.pipeline import control, gate, prepare, sync
from backend.pipeline.budget import FLOOR_S, folds_that_fit
from backend.pipeline.context import AppContext
from backend.pipeline.fold_queue import enqueue_folds, training_workers
from backend.pipeline.models.retention import prune_quietly
from backend.pipeline.run_settings import settings_of_run
from backend.queue import JobName, stop_requested
from backend.store import projects, runs
from backend.store.models import RunRow
from domain.errors import LabelStudioError, NnloopError, StackError
from domain.status import FoldStatus, RunStatus

logger = logging.getLogger(__name__)

# A step that fails for a reason that may pass (Label Studio down, a bug that needs the log) is
# tried this often, the pause doubling from the first one: over 10 minutes in all, enough for an
# upgrade of Label Studio.
MAX_ATTEMPTS = 8
FIRST_PAUSE_S = 5.0


# A disk that is full, or a quota that is used up, does not empty itself: tried once.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

# Problems of scoring and publishing as a whole: where they are filed, and their reason.
_STAGES = {RunStatus.SCORING: "score", RunStatus.PUBLISHING: "publish"}
_FAILED = "failed"

# A step looks this often whether its run was paused or cancelled.
CONTROL_S = 1.0


class InterruptedStepError(NnloopError):
    """The worker or the run was asked to stop; the step is taken up again where it was left."""


def advance(context: AppContext, run_id: int) -> None:
    """Takes the run's next step. Does nothing while another job holds the run, or it is paused."""
    if control.settle(context, run_id):
        return
    with context.store.begin() as session:
        run = runs.claim_run(session, run_id)
    if run is None:
        return
    try:
        with _lease(context, run_id):
            _step(context, run)
    except InterruptedStepError:
        _release(context, run_id)
        control.settle(context, run_id)
    except (LabelStudioError, StackError) as error:
        _retry(context, run_id, error)
    except NnloopError as error:
        fail(context, run_id, _sentence(error))
    except Exception as error:
        logger.exception("Run %d: %s failed.", run_id, run.status)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            fail(context, run_id, _disk_full(context, error))
        else:
            _retry(context, run_id, error)
    else:
        _release(context, run_id)
        control.settle(context, run_id)


def _step(context: AppContext, run: RunRow) -> None:
    if run.status in (RunStatus.QUEUED, RunStatus.PREPARING):
        _enter(context, run.id, RunStatus.PREPARING)
        prepare.prepare_run(context, run.id, _Beat(context, run.id))
        _start_training(context, run.id)
    elif run.status == RunStatus.TRAINING:
        if _folds_are_done(context, run.id):
            _enter(context, run.id, RunStatus.EVALUATING)
            _evaluate(context, run)
    elif run.status == RunStatus.EVALUATING:
        _evaluate(context, run)


def _evaluate(context: AppContext, run: RunRow) -> None:
    if gate.evaluate_run(context, run.id, _Beat(context, run.id)):
        _enter(context, run.id, RunStatus.SCORING)
        context.queue.ensure(JobName.SCORE, run.project_id, 0)
    else:
        finish(context, run.id)


def _start_training(context: AppContext, run_id: int) -> None:
    """Enters the stage; under a budget too small for all folds, with fewer of them."""
    n_workers = max(training_workers(context.queue), 1)
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        budget_s = settings_of_run(run).budget_s
        rows = runs.folds_of(session, run_id)
        n_fitting = folds_that_fit(budget_s, len(rows), n_workers) if budget_s else len(rows)
        if n_fitting < len(rows):
            run.note = (
                f"{n_fitting} of {len(rows)} folds are trained: the budget of {budget_s:g} s gives "
                f"the others less than {FLOOR_S:g} s each on {n_workers} worker(s)."
            )
            logger.warning("Run %d: %s", run_id, run.note)
        for row in rows[n_fitting:]:
            session.delete(row)
        runs.enter_stage(session, run, RunStatus.TRAINING)
        run.error = ""
    enqueue_folds(context)


def _folds_are_done(context: AppContext, run_id: int) -> bool:
    with context.store.begin() as session:
        folds = runs.folds_of(session, run_id)
    failed = [row for row in folds if row.status == FoldStatus.FAILED]
    if failed:
        raise NnloopError(f"Fold {failed[0].fold} failed: {failed[0].error}")
    return all(row.status == FoldStatus.DONE for row in folds)


@contextmanager
def step_of_run(context: AppContext, project_id: int, status: RunStatus) -> Iterator[None]:
    """Counts scoring or publishing as a step of the run that stands at this status, if one does.

    A failure holds the run back, longer each time, and ends it at last; otherwise it would stay
    active for good, and with it every later training. Without such a run a failure becomes a
    problem of the project (that Label Studio is away is one already) and is raised.
    """
    stage = _STAGES[status]
    try:
        yield
    except Exception as error:
        with context.store.begin() as session:
            run = runs.active_run(session, project_id)
        if run is None or run.status != status:
            if not isinstance(error, LabelStudioError):
                with context.store.begin() as session:
                    projects.report_problem(session, project_id, stage, _FAILED, _sentence(error))
            raise
        logger.warning("Run %d: %s failed.", run.id, run.status, exc_info=error)
        _retry(context, run.id, error)
    else:
        with context.store.begin() as session:
            run = runs.active_run(session, project_id)
            if run is not None and run.status == status and run.attempts:
                run.attempts, run.error = 0, ""
            projects.resolve_problems(session, project_id, stage, reason=_FAILED)


def pool_scored(context: AppContext, project_id: int) -> None:
    """Called when nothing of the pool is left to score: the run goes on to publishing."""
    with context.store.begin() as session:
        run = runs.active_run(session, project_id)
        if run is not None and run.status == RunStatus.SCORING:
            runs.enter_stage(session, run, RunStatus.PUBLISHING)
            run.error = ""
    context.queue.ensure(JobName.PUBLISH, project_id)


def published(context: AppContext, project_id: int) -> None:
    """Called when Label Studio shows the champion: the run is done."""
    with context.store.begin() as session:
        run = runs.active_run(session, project_id)
        is_publishing = run is not None and run.status == RunStatus.PUBLISHING
    if run is not None and is_publishing:
        finish(context, run.id)


def finish(context: AppContext, run_id: int) -> None:
    """Ends a run well, and starts the next one if enough has changed meanwhile."""
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        runs.enter_stage(session, run, RunStatus.DONE)
        run.error = ""
        projects.resolve_problems(session, run.project_id, "run")
    sync.follow_up(context, run.project_id)


def fail(context: AppContext, run_id: int, message: str) -> None:
    """Ends a run with the sentence that a person will read, and frees its checkpoints.

    They are of no more use, and a run that failed for a full disk may be the one that filled it.
    """
    logger.error("Run %d failed: %s", run_id, message)
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        if RunStatus(run.status).is_final:
            return
        run.error = message
        runs.enter_stage(session, run, RunStatus.FAILED)
        projects.report_problem(
            session, run.project_id, "run", "run_failed", message, run_id=run_id
        )
    control.remove_unused_version(context, run)
    prune_quietly(context, run.project_id)


def _retry(context: AppContext, run_id: int, error: Exception) -> None:
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        if RunStatus(run.status).is_final:
            return  # what failed came after the end, and the next tick makes up for it
        run.attempts += 1
        attempts = run.attempts
        run.error = _sentence(error)
        run.not_before = time.time() + FIRST_PAUSE_S * 2 ** (attempts - 1)
        run.lease_until = 0.0
    if attempts >= MAX_ATTEMPTS:
        fail(context, run_id, f"{_sentence(error)} Given up after {attempts} attempts.")


def _release(context: AppContext, run_id: int) -> None:
    with context.store.begin() as session:
        session.get_one(RunRow, run_id).lease_until = 0.0


def _enter(context: AppContext, run_id: int, status: RunStatus) -> None:
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        if run.status != status:
            runs.enter_stage(session, run, status)
            run.error = ""


@contextmanager
def _lease(context: AppContext, run_id: int) -> Iterator[None]:
    """Keeps the run's lease from a thread: nnU-Net's planning alone can outlast it."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(runs.LEASE_S / 4):
            try:
                with context.store.begin() as session:
                    runs.renew_run(session, run_id)
            except SQLAlchemyError:
                logger.warning("Run %d: its lease could not be renewed.", run_id, exc_info=True)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Beat:
    """For long steps to call: ends the step when the worker or the run was asked to stop."""

    def __init__(self, context: AppContext, run_id: int) -> None:
        self._context = context
        self._run_id = run_id
        self._looked = time.monotonic()

    def __call__(self) -> None:
        if stop_requested():
            raise InterruptedStepError("The worker was asked to end.")
        if time.monotonic() - self._looked < CONTROL_S:
            return
        self._looked = time.monotonic()
        with self._context.store.begin() as session:
            if not control.may_go_on(session, self._run_id):
                raise InterruptedStepError("The run was paused or cancelled.")


def _disk_full(context: AppContext, error: OSError) -> str:
    return (
        f"The disk of {context.settings.data_dir} is full ({error.strerror}). "
        "Free some space, then start a training again (nnloop train)."
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, NnloopError):
        return f"{error} {error.remedy}".strip()
    return f"Unexpected {type(error).__name__}: {error}; the log has the details."
