"""Pushes what was scored so far, while the rest of the pool is being scored.

``publish`` brings all of a project in order at the end; here a part goes out early, at a cost that
grows with that part alone.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from filelock import FileLock, Timeout

from backend.pipeline.basis.context import AppContext
from backend.pipeline.predictions.publish import LOCK, show
from backend.pipeline.predictions.resend import resend_scores
from backend.pipeline.predictions.sending import push_batch
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.tasks import predictions, readings
from backend.store.training import versions
from domain.errors import MissingError

logger = logging.getLogger(__name__)

PART = 2_000
"""Predictions pushed at once: one body of an import."""

LEAST_PAUSE_S = 2.0
PAUSE_PER_TASK_S = 0.002
"""Between two parts, for each task of the project: an import has Label Studio count the predictions
of all tasks anew, 0.45 ms for each, and others want something of it, too."""

SHOWN_FROM = 10
"""Predictions of a new version that are there before annotators are served by it in the place of
the one before: Label Studio then serves those tasks alone, and scoring may stand still."""

REPLACE_S = 3.0
"""Label Studio deletes about 20 predictions a second. What is left of other versions after this
time goes with the next part, or at the end, all at once."""


def pause_s(context: AppContext, project_id: int) -> float:
    """How long to gather predictions before the next part of them is pushed, in seconds."""
    with context.store.read() as session:
        n_tasks = readings.counts(session, project_id)[0]
    return max(LEAST_PAUSE_S, PAUSE_PER_TASK_S * n_tasks)


def push_part(context: AppContext, project_id: int) -> int:
    """Pushes the serving version's predictions that wait; how many Label Studio took.

    Idempotent by (task, version), as ``publish``: what Label Studio holds already is not sent
    again. Once some of it is there the version is the one that annotators are served by, with tasks
    that have its prediction; from then on those of other versions go from these tasks. A task that
    only an earlier version has seen keeps what it has. With nothing left to push, scores that have
    moved are sent. Does nothing while somebody else pushes for
    the project: they push all.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    folder = context.workspace(project_id).folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            return _push(context, project_id)
    except Timeout:
        return 0


def _push(context: AppContext, project_id: int) -> int:
    with context.store.begin() as session:
        version = versions.champion(session, project_id)
        if version is None or project_id in projects.halted(session):
            return 0
        batch = predictions.unpublished(session, version.id, PART)
    if not batch and resend_scores(context, project_id, version):
        with context.store.begin() as session:
            batch = predictions.unpublished(session, version.id, PART)
    if not batch:
        return 0
    sent, _ = push_batch(context, project_id, version, batch)
    with context.store.begin() as session:
        n_held = predictions.count_held(session, version.id)
    if _is_shown(context, project_id, version, n_held):
        _replace(context, project_id, version)
    logger.info("Project %d: %d predictions of %s are there.", project_id, n_held, version.name)
    return len(sent)


def _is_shown(context: AppContext, project_id: int, version: VersionRow, n_held: int) -> bool:
    """Whether annotators are served by the version; from ``SHOWN_FROM`` on they are."""
    with context.store.begin() as session:
        serving = versions.champion(session, project_id)
        former = versions.former(session, project_id, version.id)
        n_former = predictions.count_held(session, former.id) if former else 0
    if serving is None or serving.id != version.id:
        return False  # another one was promoted meanwhile, and pushes its own
    if context.label_studio.project(project_id).model_version == version.name:
        return True
    if n_former and n_held < SHOWN_FROM:
        return False
    show(context, project_id, version, is_shown=n_held > 0)
    return n_held > 0


def _replace(context: AppContext, project_id: int, version: VersionRow) -> None:
    """Deletes what other versions of nnloop's said of tasks that have this one's prediction."""
    deadline = time.monotonic() + REPLACE_S
    with context.store.begin() as session:
        others = {v.name: v.id for v in versions.versions_of(session, project_id)}
        del others[version.name]
        tasks = predictions.superseded(session, version.id, others.values(), PART)
    if not tasks:
        return
    client = context.label_studio
    by_task: dict[int, list[int]] = {task_id: [] for task_id in tasks}
    for row in client.iter_predictions(project_id, task_ids=tasks):
        if row.id is not None and row.model_version in others:
            by_task[row.task_id].append(row.id)
    done: list[int] = []
    for task_id, prediction_ids in by_task.items():
        if time.monotonic() > deadline:
            break
        for prediction_id in prediction_ids:
            with suppress(MissingError):
                client.delete_prediction(prediction_id)
        done.append(task_id)
    with context.store.begin() as session:
        predictions.mark_unpublished(session, others.values(), done)
