"""Reads the truth from Label Studio into snapshots, then decides what follows from it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from backend.pipeline import labels, trigger
from backend.pipeline.context import AppContext
from backend.queue import JobName
from backend.store import predictions, projects, snapshots, versions
from backend.store.models import RunRow
from domain.errors import LabelStudioError, SettingsError
from domain.status import TaskState

logger = logging.getLogger(__name__)

# Handled hints and resolved problems are kept this long, to look back at.
HISTORY_S = 30 * 24 * 3600.0

_Due = tuple[int | None, bool]
"""Id of the run that was created, and whether tasks wait for a score."""


def sync_project(context: AppContext, project_id: int) -> snapshots.SyncCounts:
    """Reads all tasks and annotations of a project; then starts what has become due.

    Hints that arrived before the reading began are closed by it. When Label Studio does not
    answer, nothing is lost: the hints stay open and the next tick tries again.
    """
    with context.store.begin() as session:
        projects.get(session, project_id)
        newest_hint = projects.newest_hint_id(session, project_id)
        request = projects.training_request(session, project_id)
    counts = read_project(context, project_id)
    with context.store.begin() as session:
        projects.close_hints(session, project_id, newest_hint)
        projects.prune_history(session, project_id, time.time() - HISTORY_S)
        # With the hints in one transaction: a person's request is one of them.
        due = _start_due(session, project_id, request)
    _enqueue(context, project_id, due)
    return counts


def read_project(context: AppContext, project_id: int) -> snapshots.SyncCounts:
    """Reads all tasks and annotations of a project, and starts nothing.

    Raises:
        LabelStudioError: Label Studio does not answer; the project's status says so too.
        NotConnectedError: nnloop does not know the project.
        SettingsError: Label Studio's address or key is not set.
    """
    try:
        client = context.label_studio
        info = client.project(project_id)
        changed = 0
        seen: list[int] = []
        tasks = client.iter_tasks(project_id)
        while chunk := list(islice(tasks, snapshots.CHUNK)):
            with context.store.begin() as session:
                projects.lock(session, project_id)
                changed += snapshots.write_tasks(session, project_id, chunk)
            seen.extend(task.id for task in chunk)
    except LabelStudioError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = str(error)
        raise
    with context.store.begin() as session:
        projects.lock(session, project_id)
        row = projects.get(session, project_id)
        changed += snapshots.remove_missing(session, project_id, seen)
        row.title = info.title
        labels.take_config(session, row, info.label_config, changed=changed)
        row.synced_at = time.time()
        row.error = ""
        counts = snapshots.counts(session, project_id)
    return snapshots.SyncCounts(
        tasks=len(seen),
        labelled=counts[TaskState.LABELLED],
        skipped=counts[TaskState.SKIPPED],
        changed=changed,
    )


def follow_up(context: AppContext, project_id: int) -> None:
    """Starts a run when enough has changed, and scores what is unscored."""
    with context.store.begin() as session:
        due = _start_due(session, project_id)
    _enqueue(context, project_id, due)


def _start_due(session: Session, project_id: int, request: Mapping[str, Any] | None = None) -> _Due:
    """Creates the run that is due, or that a person asked for with settings of its own."""
    if request is not None:
        run = _start_requested(session, project_id, request)
    else:
        run = trigger.start_if_due(session, project_id)
    version = versions.champion(session, project_id)
    is_unscored = version is not None and bool(
        predictions.unscored_tasks(session, project_id, version.id, limit=1)
    )
    return (run.id if run else None, is_unscored)


def _start_requested(
    session: Session, project_id: int, request: Mapping[str, Any]
) -> RunRow | None:
    """The run a person asked for; where it can't be started, a problem says why."""
    try:
        run = trigger.start(session, project_id, "requested by a person", request)
    except SettingsError as error:
        run, why = None, f"{error} {error.remedy}".strip()
    else:
        why = "another run had begun by then. Ask again when it is over."
    if run is None:
        message = f"The training that was asked for was not started: {why}"
        logger.warning("Project %d: %s", project_id, message)
        projects.report_problem(session, project_id, "run", "request_dropped", message)
    return run


def _enqueue(context: AppContext, project_id: int, due: _Due) -> None:
    run_id, is_unscored = due
    if run_id is not None:
        logger.info("Project %d: training run %d starts.", project_id, run_id)
        context.queue.ensure(JobName.ADVANCE, run_id)
    if is_unscored:
        context.queue.ensure(JobName.SCORE, project_id, 0)
