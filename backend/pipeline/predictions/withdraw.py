"""Takes predictions of images that a task no longer shows out of Label Studio."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable

from backend.label_studio import LabelStudioClient, PushedPrediction
from backend.pipeline.basis.context import AppContext
from backend.store.tasks import predictions
from backend.store.training import versions
from converters.label_studio.predicted import is_marked
from domain.errors import MissingError

logger = logging.getLogger(__name__)

# Tasks per round. Up to FEW are asked for one by one, more in portions.
ROUND = 500
FEW = 20
# Label Studio deletes about 20 predictions a second. What is left after this time follows with the
# next call, so that sync and other projects are not held up.
WITHDRAW_S = 20.0


def withdraw(context: AppContext, project_id: int) -> int:
    """Deletes what Label Studio holds of nnloop's versions for tasks that have become others.

    Nobody else may push predictions of the project meanwhile. A task counts as done once Label
    Studio has been seen to hold none, so a crash half way costs nothing but time. Predictions of
    other models, and annotations, are never touched.

    Returns:
        How many were deleted.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    deadline = time.monotonic() + WITHDRAW_S
    n_deleted = 0
    with context.store.begin() as session:
        tasks = predictions.tasks_to_withdraw(session, project_id, ROUND)
        names = {version.name for version in versions.versions_of(session, project_id)}
    if not tasks:
        return 0
    held = _held(context.label_studio, project_id, tasks, names)
    done: dict[int, str] = {}
    for task_id, source in tasks.items():
        if time.monotonic() > deadline:
            break
        for prediction_id in held.get(task_id, ()):
            try:
                context.label_studio.delete_prediction(prediction_id)
            except MissingError:
                continue
            n_deleted += 1
        done[task_id] = source
    with context.store.begin() as session:
        predictions.mark_gone(session, done)
    logger.info(
        "Project %d: %d tasks show other images; %d predictions withdrawn.",
        project_id,
        len(done),
        n_deleted,
    )
    return n_deleted


def _held(
    client: LabelStudioClient, project_id: int, task_ids: Collection[int], names: Collection[str]
) -> dict[int, list[int]]:
    """Task id -> ids of its predictions of these versions, and of nnloop's of any other name.

    A project that was disconnected and connected again may hold some of versions that are not known
    any more; the ids of their regions tell.
    """
    rows: Iterable[PushedPrediction]
    if len(task_ids) <= FEW:
        rows = (row for task_id in task_ids for row in client.task_predictions(task_id))
    else:
        rows = client.iter_predictions(project_id, task_ids=list(task_ids))
    held: dict[int, list[int]] = {}
    for row in rows:
        if row.id is not None and (row.model_version in names or _is_nnloops(row)):
            held.setdefault(row.task_id, []).append(row.id)
    return held


def _is_nnloops(row: PushedPrediction) -> bool:
    ids = [entry.get("id") for entry in row.result if isinstance(entry, dict)]
    return any(isinstance(region_id, str) and is_marked(region_id) for region_id in ids)
