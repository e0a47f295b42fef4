"""Reads the truth from Label Studio into snapshots, then decides what follows from it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from backend.label_studio import ProjectInfo
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import sentence_of
from backend.pipeline.basis.images import image_keys_of
from backend.pipeline.labels import questions
from backend.pipeline.quality.calibrate import recalibrate
from backend.pipeline.quality.corrections import measure_corrections
from backend.pipeline.quality.submissions import measure_submissions
from backend.pipeline.sync import trigger
from backend.pipeline.sync.drift import (
    check_connection,
    go_on,
    halt,
    key_refused,
    require_same,
    require_staying,
)
from backend.queue import JobName
from backend.store import projects
from backend.store.identity import CHUNK
from backend.store.models import RunRow
from backend.store.tasks import predictions, problems, snapshots
from backend.store.training import versions
from domain.errors import (
    LabelStudioAuthError,
    LabelStudioError,
    MissingError,
    ProjectGoneError,
    SettingsError,
)
from domain.states import TaskState

logger = logging.getLogger(__name__)

# Handled hints and resolved problems are kept this long, to look back at.
HISTORY_S = 30 * 24 * 3600.0

_Due = tuple[int | None, bool]
"""Id of the run that was created, and whether tasks wait for a score."""


def sync_project(context: AppContext, project_id: int) -> snapshots.SyncCounts:
    """Reads all tasks and annotations of a project; then starts what has become due.

    Hints that arrived before the reading began are closed by it. When Label Studio does not
    answer, nothing is lost: the hints stay open and the next tick tries again.

    Raises:
        LabelStudioError, NotConnectedError, SettingsError: As ``read_project``.
    """
    with context.store.begin() as session:
        projects.get(session, project_id)
        newest_hint = projects.newest_hint_id(session, project_id)
        request = projects.training_request(session, project_id)
    try:
        counts, info = _read(context, project_id)
    except ProjectGoneError:
        with context.store.begin() as session:
            # Nothing of it can be done later either; the clock looks whether it is there again.
            projects.close_hints(session, project_id, newest_hint)
        raise
    _check(context, project_id, info)
    measure_submissions(context, project_id)
    measure_corrections(context, project_id)
    # Also where nothing was measured: who measured before may have died right after.
    recalibrate(context, project_id)
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
        ProjectGoneError: Label Studio has it no more; nothing is done for it from then on.
        SettingsError: Label Studio's address or key is not set.
    """
    return _read(context, project_id)[0]


def _read(context: AppContext, project_id: int) -> tuple[snapshots.SyncCounts, ProjectInfo]:
    try:
        client = context.label_studio
        info, image_keys = _find(context, project_id)
        changed = 0
        seen: list[int] = []
        tasks = client.iter_tasks(project_id)
        while chunk := list(islice(tasks, CHUNK)):
            with context.store.begin() as session:
                projects.lock(session, project_id)
                changed += snapshots.write_tasks(session, project_id, chunk, image_keys)
            seen.extend(task.id for task in chunk)
    except ProjectGoneError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = ""
            halt(session, project_id, error)
        raise
    except LabelStudioAuthError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = ""
            key_refused(session, project_id, error)
        raise
    except LabelStudioError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = sentence_of(error)
        raise
    with context.store.begin() as session:
        projects.lock(session, project_id)
        row = projects.get(session, project_id)
        changed += snapshots.remove_missing(session, project_id, seen)
        problems.close_settled(session, project_id)
        row.title = info.title
        questions.take_config(session, row, info.label_config, changed=changed)
        row.created_at = info.created_at or row.created_at
        row.synced_at = time.time()
        go_on(session, project_id)
        row.error = ""
        counts = snapshots.counts(session, project_id)
    read = snapshots.SyncCounts(
        tasks=len(seen),
        labelled=counts[TaskState.LABELLED],
        skipped=counts[TaskState.SKIPPED],
        changed=changed,
    )
    return read, info


def _find(context: AppContext, project_id: int) -> tuple[ProjectInfo, tuple[str, ...] | None]:
    """The project as Label Studio has it, if it is still the same; its image fields."""
    with context.store.read() as session:
        require_staying(session, project_id)
    try:
        info = context.label_studio.project(project_id)
    except MissingError:
        info = None
    with context.store.read() as session:
        row = projects.get(session, project_id)
        require_same(row, info)
        assert info is not None  # noqa: S101 - require_same raised
        return info, image_keys_of(info.label_config, row.settings)


def _check(context: AppContext, project_id: int, info: ProjectInfo) -> None:
    try:
        check_connection(context, project_id, info)
    except LabelStudioError as error:
        # The reading is done, and what follows from it must not wait for this.
        logger.warning("Project %d: its connection could not be checked: %s", project_id, error)


def follow_up(context: AppContext, project_id: int) -> None:
    """Starts a run when enough has changed, and scores what is unscored."""
    with context.store.begin() as session:
        due = _start_due(session, project_id)
    _enqueue(context, project_id, due)


def _start_due(session: Session, project_id: int, request: Mapping[str, Any] | None = None) -> _Due:
    """Creates the run that is due, or that a person asked for with settings of its own."""
    if project_id in projects.halted(session):
        return None, False
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
        run, why = None, error.in_full
    else:
        why = "another run had begun by then. Ask again when it is over."
    if run is None:
        message = f"The training that was asked for was not started: {why}"
        logger.warning("Project %d: %s", project_id, message)
        projects.report_problem(
            session,
            project_id,
            "run",
            projects.Fault("request_dropped", message),
        )
    return run


def _enqueue(context: AppContext, project_id: int, due: _Due) -> None:
    run_id, is_unscored = due
    if run_id is not None:
        logger.info("Project %d: training run %d starts.", project_id, run_id)
        context.queue.ensure(JobName.ADVANCE, run_id)
    if is_unscored:
        context.queue.ensure(JobName.SCORE, project_id, 0)
