"""The TrainingRun's way from queued to done: one step a call, each can be taken twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from backend.pipeline import gate, prepare, sync
from backend.pipeline.context import AppContext
from backend.queue import JobName, stop_requested
from backend.store import projects, runs
from backend.store.models import RunRow
from domain.errors import LabelStudioError, NnloopError
from domain.status import FoldStatus, RunStatus

logger = logging.getLogger(__name__)

# A step that fails for a reason that may pass (Label Studio down, a bug that needs the log) is
# tried this often, the pause doubling from the first one.
MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 5.0


class InterruptedStepError(NnloopError):
    """The worker was asked to end; the step goes on where it is taken up again."""


def advance(context: AppContext, run_id: int) -> None:
    """Takes the run's next step. Does nothing while another job holds the run."""
    with context.store.begin() as session:
        run = runs.claim_run(session, run_id)
    if run is None:
        return
    try:
        _step(context, run)
    except InterruptedStepError:
        _release(context, run_id)
    except LabelStudioError as error:
        _retry(context, run_id, error)
    except NnloopError as error:
        fail(context, run_id, _sentence(error))
    except Exception as error:
        logger.exception("Run %d: %s failed.", run_id, run.status)
        _retry(context, run_id, error)
    else:
        _release(context, run_id)


def _step(context: AppContext, run: RunRow) -> None:
    beat = _beat(context, run.id)
    if run.status in (RunStatus.QUEUED, RunStatus.PREPARING):
        _enter(context, run.id, RunStatus.PREPARING)
        prepare.prepare_run(context, run.id, beat)
        _enter(context, run.id, RunStatus.TRAINING)
        _enqueue_folds(context, run.id)
    elif run.status == RunStatus.TRAINING:
        if _folds_are_done(context, run.id):
            _enter(context, run.id, RunStatus.EVALUATING)
            _evaluate(context, run, beat)
    elif run.status == RunStatus.EVALUATING:
        _evaluate(context, run, beat)


def _evaluate(context: AppContext, run: RunRow, beat: Callable[[], None]) -> None:
    if gate.evaluate_run(context, run.id, beat):
        _enter(context, run.id, RunStatus.SCORING)
        context.queue.ensure(JobName.SCORE, run.project_id, 0)
    else:
        finish(context, run.id)


def _enqueue_folds(context: AppContext, run_id: int) -> None:
    with context.store.begin() as session:
        folds = [row.fold for row in runs.folds_of(session, run_id)]
    for fold in folds:
        context.queue.ensure(JobName.TRAIN_FOLD, run_id, fold)


def _folds_are_done(context: AppContext, run_id: int) -> bool:
    with context.store.begin() as session:
        folds = runs.folds_of(session, run_id)
    failed = [row for row in folds if row.status == FoldStatus.FAILED]
    if failed:
        raise NnloopError(f"Fold {failed[0].fold} failed: {failed[0].error}")
    return all(row.status == FoldStatus.DONE for row in folds)


def pool_scored(context: AppContext, project_id: int) -> None:
    """Called when nothing of the pool is left to score: the run goes on to publishing."""
    with context.store.begin() as session:
        run = runs.active_run(session, project_id)
        if run is not None and run.status == RunStatus.SCORING:
            runs.enter_stage(session, run, RunStatus.PUBLISHING)
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
        projects.resolve_problems(session, run.project_id, "run")
    sync.follow_up(context, run.project_id)


def fail(context: AppContext, run_id: int, message: str) -> None:
    """Ends a run with the sentence that a person will read."""
    logger.error("Run %d failed: %s", run_id, message)
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        run.error = message
        runs.enter_stage(session, run, RunStatus.FAILED)
        projects.report_problem(
            session, run.project_id, "run", "run_failed", message, run_id=run_id
        )


def _retry(context: AppContext, run_id: int, error: Exception) -> None:
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
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


def _beat(context: AppContext, run_id: int) -> Callable[[], None]:
    """A function for long steps to call: keeps the lease, and ends the step when asked to."""
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if stop_requested():
            raise InterruptedStepError("The worker was asked to end.")
        if time.monotonic() - last > runs.LEASE_S / 5:
            last = time.monotonic()
            with context.store.begin() as session:
                runs.renew_run(session, run_id)

    return beat


def _sentence(error: Exception) -> str:
    if isinstance(error, NnloopError):
        return f"{error} {error.remedy}".strip()
    return f"Unexpected {type(error).__name__}: {error}; the log has the details."
