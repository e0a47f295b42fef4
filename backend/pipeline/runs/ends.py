"""How steps end: well, failed, to be tried again; of a run, or of a project without one.

Loads no network, so that who only reads and pushes stays light.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from backend.log_lines import about
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import message_of, sentence_of
from backend.pipeline.basis.notices import Event, keep_notice
from backend.pipeline.gate.retention import prune_quietly
from backend.pipeline.runs import control
from backend.pipeline.sync import reading
from backend.queue import JobName
from backend.store import clock, pauses, projects
from backend.store.tasks import problems
from backend.store.training import runs
from domain.errors import LabelStudioError, NnloopError, StackError
from domain.states import RunStatus

logger = logging.getLogger(__name__)

# A server that was away is back at some moment: it is not left waiting for long.
AWAY_S = 60.0

STAGES = {RunStatus.SCORING: "score", RunStatus.PUBLISHING: "publish"}
"""Where problems of scoring and publishing as a whole are filed."""

FAILED = "failed"
"""Their reason."""


@contextmanager
def step_of_run(context: AppContext, project_id: int, status: RunStatus) -> Iterator[None]:
    """Counts scoring or publishing as a step of the run that stands at this status, if one does.

    A failure holds the run back, longer each time, and ends it at last; otherwise it would stay
    active for good, and with it every later training. Without such a run a failure becomes one
    problem of the project (that Label Studio is away is one already), and the next try waits,
    longer each time: ``is_paused``.
    """
    stage = STAGES[status]
    try:
        yield
    except Exception as error:
        with context.store.begin() as session:
            run = runs.active_run(session, project_id, status)
        if run is None:
            _pause(context, project_id, stage, error)
            return
        logger.warning("Run %d: %s failed.", run.number, run.status, exc_info=error)
        retry(context, run.id, error)
    else:
        with context.store.begin() as session:
            run = runs.active_run(session, project_id, status)
            if run is not None and run.attempts:
                run.attempts, run.error = 0, ""
            projects.resolve_problems(session, project_id, stage, reason=FAILED)
            pauses.end(session, project_id, stage)


def is_paused(context: AppContext, project_id: int, status: RunStatus) -> bool:
    """Whether scoring or publishing failed lately and is not to be tried yet.

    Only where no run stands at this status: a run has its own pauses.
    """
    with context.store.begin() as session:
        if runs.active_run(session, project_id, status) is not None:
            return False
        return pauses.is_paused(session, project_id, STAGES[status])


def _pause(context: AppContext, project_id: int, stage: str, error: Exception) -> None:
    message, remedy = message_of(error)
    with context.store.begin() as session:
        if not isinstance(error, LabelStudioError):
            problems.tell(
                session,
                project_id,
                stage,
                projects.Fault(FAILED, message, remedy),
            )
        is_away = isinstance(error, LabelStudioError | StackError)
        longest_s = AWAY_S if is_away else pauses.LONGEST_S
        pause = pauses.lengthen(session, project_id, stage, longest_s)
    # The log has the way there once; later only that it goes on.
    is_known = pause.attempts > 1 or isinstance(error, NnloopError)
    logger.warning(
        "Project %d: %s failed (%s); tried again in %.0f s.",
        project_id,
        stage,
        message,
        pause.not_before - clock.now(),
        exc_info=None if is_known else error,
    )


def pool_scored(context: AppContext, project_id: int) -> None:
    """Called when nothing of the pool is left to score: the run goes on to publishing."""
    with context.store.begin() as session:
        projects.lock(session, project_id)
        run = runs.active_run(session, project_id, RunStatus.SCORING)
        if run is not None:
            runs.enter_stage(session, run, RunStatus.PUBLISHING)
            run.error = ""
    context.queue.ensure(JobName.PUBLISH, project_id)


def published(context: AppContext, project_id: int) -> None:
    """Called when Label Studio shows the champion: the run is done."""
    with context.store.begin() as session:
        run = runs.active_run(session, project_id, RunStatus.PUBLISHING)
    if run is not None:
        finish(context, run.id)


def finish(context: AppContext, run_id: int) -> None:
    """Ends a run well, and starts the next one if enough has changed meanwhile."""
    with context.store.begin() as session:
        run = runs.locked(session, run_id)
        if RunStatus(run.status).is_final:
            return  # cancelled meanwhile, or another job has ended it
        runs.enter_stage(session, run, RunStatus.DONE)
        run.error = ""
        projects.resolve_problems(session, run.project_id, "run")
    reading.follow_up(context, run.project_id)


def fail(context: AppContext, run_id: int, message: str) -> None:
    """Ends a run with the sentence that a person will read, and frees its checkpoints.

    They are of no more use, and a run that failed for a full disk may be the one that filled it.
    """
    with context.store.begin() as session:
        run = runs.locked(session, run_id)
        if RunStatus(run.status).is_final:
            return
        run.error = message
        runs.enter_stage(session, run, RunStatus.FAILED)
        keep_notice(session, context.settings, run, Event.FAILED, verdict=message)
        projects.report_problem(
            session,
            run.project_id,
            "run",
            projects.Fault(projects.RUN_FAILED, message),
            run_id=run_id,
        )
    with about(project=run.project_id, run=run.number):
        logger.error("Run %d failed: %s", run.number, message)
    control.remove_unused_version(context, run)
    prune_quietly(context, run.project_id)


def retry(context: AppContext, run_id: int, error: Exception) -> None:
    """Holds a run back after a step that failed, longer each time, and ends it at last."""
    with context.store.begin() as session:
        run = runs.locked(session, run_id)
        if RunStatus(run.status).is_final:
            return  # what failed came after the end, and the next tick makes up for it
        run.attempts += 1
        attempts = run.attempts
        run.error = sentence_of(error)
        run.not_before = clock.now() + runs.pause_after(attempts)
        run.lease_until = 0.0
    if attempts >= runs.MAX_ATTEMPTS:
        fail(context, run_id, f"{sentence_of(error)} Given up after {attempts} attempts.")
