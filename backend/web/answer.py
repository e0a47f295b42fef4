"""The answer to /predict: what the store has, and a short wait for what it has not.

The network runs in the prediction worker. Here its answers are only looked up, again and again
until all are there or the time is over.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
from sqlalchemy import select

from backend.pipeline.context import AppContext
from backend.queue import JobName
from backend.store import predictions, projects, versions
from backend.store.models import PredictionRow, TaskRow, VersionRow
from backend.store.snapshots import CHUNK
from backend.web.interface import check_labels, in_labels_of_today
from backend.web.protocol import MAX_HINT_TASKS, PredictResult
from backend.web.waiting import in_thread
from domain.errors import PredictionError

# Tasks of one request that go ahead of the pool; the others come with the pool. 32 are about what
# a CPU predicts within the deadline, and few enough not to hold up the next annotator for long.
MAX_URGENT = 32
# Time between two looks into the store: short at first, for a warm predictor on a GPU.
FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 0.4
# Kept for the last look and for sending the answer.
LAST_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a project, its tasks with their data, and its labelling interface (or "")."""

    project_id: int
    data_by_task: dict[int, dict[str, Any]]
    label_config: str = ""


@dataclass(slots=True)
class _Progress:
    """What has been found so far, all of one version."""

    version: VersionRow | None = None
    label_config: str = ""
    label_mapping: dict[str, str] = field(default_factory=dict)
    rows: dict[int, PredictionRow] = field(default_factory=dict)


async def answer(
    context: AppContext, question: Question, deadline: float
) -> dict[int, PredictResult]:
    """Predictions of all tasks by the champion, by task id.

    Args:
        context: settings, store, queue.
        question: what is asked.
        deadline: ``time.monotonic()`` at which the caller must have an answer.

    Raises:
        NotConnectedError: if nnloop does not know the project.
        PredictionError: if the project has no version yet, a task can't be predicted, some are not
            predicted in time, or a prediction has a label that the interface lacks.
        StackError: if the store or Redis does not answer in time.
    """
    progress = _Progress()
    served_by: int | None = None
    pause = FIRST_LOOK_S
    while True:
        version = await in_thread(deadline, _look, context, question, progress)
        missing = [task_id for task_id in question.data_by_task if task_id not in progress.rows]
        if not missing:
            return _results(version, progress)
        if served_by != version.id:
            # The first look, or another version was promoted meanwhile.
            served_by = version.id
            await in_thread(deadline, _ask_for, context, question, missing)
        left = deadline - time.monotonic() - LAST_LOOK_S
        if left <= 0:
            raise _too_late(question, len(missing), context.settings.predict_deadline_s)
        await anyio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_LOOK_S)


def _look(context: AppContext, question: Question, progress: _Progress) -> VersionRow:
    """Adds to the progress what the store has by now; returns the version that serves."""
    with context.store.begin() as session:
        project = projects.get(session, question.project_id)
        progress.label_config = question.label_config or project.label_config
        progress.label_mapping = project.label_mapping
        version = versions.champion(session, question.project_id)
        if version is None:
            raise PredictionError(
                f"Project {question.project_id} has no model version yet.",
                remedy="The first is trained once enough tasks are annotated: "
                f"nnloop status {question.project_id}",
            )
        if progress.version is None or progress.version.id != version.id:
            progress.version, progress.rows = version, {}
        missing = [i for i in question.data_by_task if i not in progress.rows]
        progress.rows.update(predictions.find(session, version.id, missing))
    failed = next((r for i in missing if (r := progress.rows.get(i)) and r.error), None)
    if failed is not None:
        raise PredictionError(
            f"Task {failed.task_id} can't be predicted: {failed.error}",
            remedy="Label Studio takes all predictions of a request or none; leave this task out.",
        )
    return version


def _ask_for(context: AppContext, question: Question, missing: list[int]) -> None:
    _keep_tasks(context, question, missing)
    for task_id in missing[:MAX_URGENT]:
        context.queue.ensure(JobName.PREDICT, question.project_id, task_id)
    if len(missing) > MAX_URGENT:
        context.queue.ensure(JobName.SCORE, question.project_id, 0)


def _keep_tasks(context: AppContext, question: Question, task_ids: list[int]) -> None:
    """Stores tasks created a moment ago, so that the worker finds them."""
    with context.store.begin() as session:
        known: dict[int, TaskRow] = {}
        for start in range(0, len(task_ids), CHUNK):
            query = select(TaskRow).where(TaskRow.id.in_(task_ids[start : start + CHUNK]))
            known.update({row.id: row for row in session.scalars(query)})
        for row in known.values():
            # Label Studio has just sent it, so it is not gone.
            row.removed_at = None
        unheard_of = [task_id for task_id in task_ids if task_id not in known]
        session.add_all(
            TaskRow(id=i, project_id=question.project_id, data=question.data_by_task[i])
            for i in unheard_of
        )
        if unheard_of:
            projects.add_hint(session, question.project_id, "PREDICT", unheard_of[:MAX_HINT_TASKS])


def _results(version: VersionRow, progress: _Progress) -> dict[int, PredictResult]:
    rows, xml = list(progress.rows.values()), progress.label_config
    results = [row.result for row in rows]
    if xml:
        results = in_labels_of_today(xml, progress.label_mapping, results)
        check_labels(xml, version.name, results)
    return {
        row.task_id: PredictResult(
            result=result, score=_score(row.score), model_version=version.name
        )
        for row, result in zip(rows, results, strict=True)
    }


def _score(value: float | None) -> float:
    """A number in [0, 1] in any case: one that is not makes Label Studio refuse the batch."""
    if value is None or not math.isfinite(value):
        return 0.0
    return min(max(value, 0.0), 1.0)


def _too_late(question: Question, n_missing: int, deadline_s: float) -> PredictionError:
    return PredictionError(
        f"{n_missing} of {len(question.data_by_task)} tasks of project {question.project_id} "
        f"are not predicted within {deadline_s:g} s.",
        remedy="They are being worked on, and nnloop pushes what is done: reload in a moment.",
    )
