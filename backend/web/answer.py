"""The answer to /predict: what the store has, and a short wait for what it has not.

The network runs in the prediction worker. Here its answers are only looked up, again and again
until all are there or the time is over. While a new version has not seen a task that the one before
has, an annotator gets that one's answer after a shorter wait.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.images import image_keys_of
from backend.pipeline.labels.of_version import reused_names
from backend.queue import JobName
from backend.store import projects
from backend.store.identity import is_settled, rows_of, settle
from backend.store.models import PredictionRow, ProjectRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from backend.web.interface import check_labels, in_current_labels
from backend.web.protocol import MAX_HINT_TASKS, PredictResult
from backend.web.waiting import NoAnswerError, in_thread
from domain.annotation import Task
from domain.errors import PredictionError

# Tasks of one request that go ahead of the pool; the others come with the pool. 32 are about what
# a CPU predicts within the deadline, and few enough not to hold up the next annotator for long.
MAX_URGENT = 32
# Time between two looks into the store: short at first, for a warm predictor on a GPU.
FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 0.4
# Longest wait for the serving version where the one before it has seen the task.
FORMER_AFTER_S = 2.0
# Kept for the last look and for sending the answer.
LAST_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a project, its tasks with their data, and its labelling interface (or "").

    ``project_created``: when the project was made, in whole seconds since the epoch, if it is said.
    """

    project_id: int
    tasks: dict[int, Task]
    label_config: str = ""
    project_created: int | None = None


@dataclass(slots=True)
class _Progress:
    """What has been found so far, all of one version; ``former``: the answers of the one before."""

    version: VersionRow | None = None
    label_config: str = ""
    label_mapping: dict[str, str] = field(default_factory=dict)
    reused: frozenset[str] = frozenset()
    rows: dict[int, PredictionRow] = field(default_factory=dict)
    is_stored: bool = False
    former: dict[int, PredictResult] | None = None


async def answer(
    context: AppContext, question: Question, deadline: float
) -> dict[int, PredictResult]:
    """Predictions of all tasks by the champion, by task id.

    What it has not predicted soon is answered with what the version before it has said, where that
    has seen the task as it is now.

    Args:
        context: settings, store, queue.
        question: what is asked.
        deadline: ``time.monotonic()`` at which the caller must have an answer.

    Raises:
        NotConnectedError: if nnloop does not know the project, or knew another one by its id.
        PredictionError: if the project has no version yet, a task can't be predicted, some are not
            predicted in time, or a prediction has a label that the interface lacks.
        StackError: if the store or Redis does not answer in time.
    """
    progress = _Progress()
    served_by: int | None = None
    asked: set[int] = set()
    missing: list[int] = []
    pause = FIRST_LOOK_S
    began = time.monotonic()
    patience_s = min(FORMER_AFTER_S, (deadline - began) / 2)
    while True:
        looked_at = time.monotonic()
        try:
            version = await in_thread(deadline, _look, context, question, progress)
        except NoAnswerError:
            if served_by is None or deadline - looked_at > LONGEST_LOOK_S:
                raise
            # Cut off soon after it began, it says nothing of the store: the others were answered.
            raise _too_late(question, len(missing), context.settings.predict_deadline_s) from None
        missing = [task_id for task_id in question.tasks if task_id not in progress.rows]
        if not missing:
            return _results(version, progress)
        if served_by != version.id:
            # The first look, or another version was promoted meanwhile.
            served_by, asked = version.id, set()
        if new := [task_id for task_id in missing if task_id not in asked]:
            asked.update(new)
            await in_thread(deadline, _ask_for, context, question, new)
        is_due = progress.former is None and time.monotonic() - began >= patience_s
        if is_due or (progress.former is not None and progress.former.keys() >= set(missing)):
            # Looked up right before it is answered: an image may have been replaced since.
            progress.former = await in_thread(deadline, _of_former, context, question, version)
            if progress.former.keys() >= set(missing):
                return {**progress.former, **_results(version, progress)}
        left = deadline - time.monotonic() - LAST_LOOK_S
        if left <= 0:
            raise _too_late(question, len(missing), context.settings.predict_deadline_s)
        await anyio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_LOOK_S)


def _look(context: AppContext, question: Question, progress: _Progress) -> VersionRow:
    """Adds to the progress what the store has by now; returns the version that serves."""
    with context.store.read() as session:
        project = _project(session, question)
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
            progress.version, progress.rows, progress.former = version, {}, None
        progress.reused = reused_names(session, project, version)
        progress.is_stored = progress.is_stored or _are_kept(session, project, question)
        # What was found while others were waited for may be of another image by now.
        live = predictions.live_ids(session, [row.id for row in progress.rows.values()])
        progress.rows = {i: row for i, row in progress.rows.items() if row.id in live}
        missing = [i for i in question.tasks if i not in progress.rows]
        if progress.is_stored:
            progress.rows.update(predictions.find(session, version.id, missing))
    if not progress.is_stored:
        # Only what is new to the store waits for those that write into it.
        with context.store.begin() as session:
            _keep_tasks(session, _project(session, question), question)
            progress.rows.update(predictions.find(session, version.id, missing))
        progress.is_stored = True
    failed = next((r for i in missing if (r := progress.rows.get(i)) and r.error), None)
    if failed is not None:
        raise PredictionError(
            f"Task {failed.task_id} can't be predicted: {failed.error}",
            remedy="Label Studio takes all predictions of a request or none; leave this task out.",
        )
    return version


def _project(session: Session, question: Question) -> ProjectRow:
    project = projects.find_same(session, question.project_id, question.project_created)
    if project is None or project.id in projects.halted(session):
        raise projects.not_connected(str(question.project_id))
    return project


def _ask_for(context: AppContext, question: Question, missing: list[int]) -> None:
    for task_id in missing[:MAX_URGENT]:
        context.queue.ensure(JobName.PREDICT, question.project_id, task_id)
    if len(missing) > MAX_URGENT:
        context.queue.ensure(JobName.SCORE, question.project_id, 0)


def _are_kept(session: Session, project: ProjectRow, question: Question) -> bool:
    """Whether the store has every task as it is asked for."""
    keys = image_keys_of(project.label_config, project.settings)
    rows = rows_of(session, list(question.tasks))
    return all(
        is_settled(rows.get(task.id), project.id, task, keys) for task in question.tasks.values()
    )


def _keep_tasks(session: Session, project: ProjectRow, question: Question) -> None:
    """Stores the tasks of the request, so that the worker finds new and replaced ones.

    Label Studio reuses ids: a prediction for an earlier task or image of the same id is no answer.
    """
    keys = image_keys_of(project.label_config, project.settings)
    before = {row.id: row.source or "" for row in rows_of(session, list(question.tasks)).values()}
    rows = settle(session, project.id, list(question.tasks.values()), keys)
    for row in rows.values():
        # Label Studio has just sent it, so it is not gone.
        row.removed_at = None
    news = [i for i, row in rows.items() if before.get(i, "") != (row.source or "")]
    news += [i for i in rows if i not in before and i not in news]
    if news:
        projects.add_hint(session, project.id, "PREDICT", news[:MAX_HINT_TASKS])


def _of_former(
    context: AppContext, question: Question, version: VersionRow
) -> dict[int, PredictResult]:
    """Answers that the version before gave for tasks of the question, as far as they can be shown.

    By task id; empty where no version served before.
    """
    with context.store.read() as session:
        project = projects.get(session, question.project_id)
        former = versions.former(session, question.project_id, version.id)
        if former is None:
            return {}
        rows = predictions.find(session, former.id, list(question.tasks))
        reused = reused_names(session, project, former)
        progress = _Progress(
            former, question.label_config or project.label_config, project.label_mapping, reused
        )
    found: dict[int, PredictResult] = {}
    for row in rows.values():
        progress.rows = {row.task_id: row}
        # One that can't be shown keeps no other from being shown.
        with suppress(PredictionError):
            if not row.error:
                found.update(_results(former, progress))
    return found


def _results(version: VersionRow, progress: _Progress) -> dict[int, PredictResult]:
    rows, xml = list(progress.rows.values()), progress.label_config
    results = [row.result for row in rows]
    if xml:
        results = in_current_labels(
            xml, progress.label_mapping, results, version=version.name, reused=progress.reused
        )
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
        f"{n_missing} of {len(question.tasks)} tasks of project {question.project_id} "
        f"are not predicted within {deadline_s:g} s.",
        remedy="They are being worked on, and nnloop pushes what is done: reload in a moment.",
    )
