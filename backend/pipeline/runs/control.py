"""Pause, resume and cancel a run.

What is wanted is written into the store; who works on the run, on whatever machine, reads it there
within a second or two.
"""

from __future__ import annotations

import logging
import shutil

from sqlalchemy.orm import Session

from backend.log_lines import about
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.notices import Event, keep_notice
from backend.pipeline.sync import reading
from backend.store import projects
from backend.store.models import RunRow
from backend.store.training import runs, versions
from domain.errors import StackError
from domain.states import RunControl, RunStatus

logger = logging.getLogger(__name__)

_NO_RUN = "No run is active."


def pause(context: AppContext, project_id: int) -> str:
    """Makes the active run stand still where it is; returns a sentence for the person.

    A fold in training ends at its last checkpoint, so at most one epoch is lost.
    """
    return _change(context, project_id, RunControl.RUN, RunControl.PAUSE)


def resume(context: AppContext, project_id: int) -> str:
    """Lets a paused run go on; returns a sentence for the person."""
    return _change(context, project_id, RunControl.PAUSE, RunControl.RUN)


def _change(context: AppContext, project_id: int, before: RunControl, after: RunControl) -> str:
    with context.store.begin() as session:
        projects.lock(session, project_id)
        run = runs.active_run(session, project_id)
        if run is None:
            return _NO_RUN
        if run.control != before:
            return sentence_of(run)
        runs.set_control(session, run, after)
    if after == RunControl.PAUSE:
        return f"Run {run.number} pauses while {run.status}; {_go_on(run)}."
    return f"Run {run.number} goes on: {run.status}."


def cancel(context: AppContext, project_id: int) -> str:
    """Ends the active run and frees what its folds have written; returns a sentence.

    It ends once nobody works on it; a worker that was killed counts as at work until its lease
    is freed (``runs.lapses``). A version the run has made by then stays.
    """
    with context.store.begin() as session:
        projects.lock(session, project_id)
        run = runs.active_run(session, project_id)
        if run is None:
            return _NO_RUN
        runs.set_control(session, run, RunControl.CANCEL)
        version = versions.version_of_run(session, run.id)
    is_over = settle(context, run.id)
    said = f"Run {run.number} is cancelled." if is_over else f"Run {run.number} is being cancelled."
    return said + (f" Its version {version.name} stays." if version else "")


def settle(context: AppContext, run_id: int) -> bool:
    """Ends a run that is to be cancelled once nobody works on it; whether it is over now.

    Its folder goes first: a process that dies half way leaves a run that is settled again, not
    files that nobody comes back for.
    """
    with context.store.begin() as session:
        run = runs.locked(session, run_id)
        if RunStatus(run.status).is_final:
            return True
        if not _can_end(session, run):
            return False
    # A version links or copies what it needs, so nothing is lost that still serves.
    shutil.rmtree(context.workspace(run.project_id).run_dir(run.number), ignore_errors=True)
    with context.store.begin() as session:
        run = runs.locked(session, run_id)
        if RunStatus(run.status).is_final:
            return True
        if not _can_end(session, run):
            return False
        runs.enter_stage(session, run, RunStatus.CANCELLED)
        keep_notice(session, context.settings, run, Event.CANCELLED)
        run.error = ""
    with about(project=run.project_id, run=run.number):
        logger.info("Run %d is cancelled.", run.number)
    remove_unused_version(context, run)
    try:
        reading.follow_up(context, run.project_id)
    except StackError as error:
        logger.warning("Run %d: %s The next tick makes up for it.", run.number, error)
    return True


def _can_end(session: Session, run: RunRow) -> bool:
    return run.control == RunControl.CANCEL and not runs.is_held(session, run)


def remove_unused_version(context: AppContext, run: RunRow) -> None:
    """Removes the folder of a version that was packed, but ended before the gate had decided."""
    with context.store.begin() as session:
        if versions.version_of_run(session, run.id) is not None:
            return
    folder = context.workspace(run.project_id).version_dir(versions.name_of(run))
    shutil.rmtree(folder, ignore_errors=True)


def stands_still(context: AppContext, project_id: int, status: RunStatus) -> bool:
    """Whether the project's active run is at this stage, and paused or to be cancelled."""
    with context.store.begin() as session:
        run = runs.active_run(session, project_id, status)
        return run is not None and run.control != RunControl.RUN


def sentence_of(run: RunRow) -> str:
    """How an active run stands, in words."""
    if run.control == RunControl.PAUSE:
        return f"Run {run.number} is paused while {run.status}; {_go_on(run)}."
    if run.control == RunControl.CANCEL:
        return f"Run {run.number} is being cancelled."
    return f"Run {run.number} is {run.status}."


def _go_on(run: RunRow) -> str:
    return f"go on with `nnloop resume {run.project_id}`"
