"""Jobs that predict: a chunk of the pool, or the one task an annotator has opened."""

from __future__ import annotations

import time
from contextlib import suppress

from backend.jobs.process import context
from backend.pipeline.predictions.open_pool import Between, close_pool, close_pools
from backend.pipeline.predictions.push import pause_s
from backend.pipeline.predictions.score import score_chunk, score_task
from backend.pipeline.runs import ends
from backend.pipeline.runs.control import stands_still
from backend.queue import JobName, QueueName
from domain.errors import NotConnectedError, StackError
from domain.states import RunStatus
from training.nnunet.memory import free_cache

# The first prediction goes out at once, then those of a while together.
_next_push_at: dict[int, float] = {}


def score(project_id: int, turn: int) -> None:
    """Scores a part of the pool, then queues the next part behind what is more urgent.

    ``turn`` alternates between 0 and 1: a job can't queue itself while it runs.
    """
    opened, status = context(), RunStatus.SCORING
    if stands_still(opened, project_id, status) or ends.is_paused(opened, project_id, status):
        close_pool(opened, project_id)
        return
    between = Between(_is_somebody_waiting, lambda: _ask_for_push(project_id))
    with ends.step_of_run(opened, project_id, status):
        if score_chunk(opened, project_id, between):
            opened.queue.ensure(JobName.SCORE, project_id, 1 - turn)
        else:
            free_cache()
            ends.pool_scored(opened, project_id)


# A job can't queue itself while it runs: the image waits until the job has surely ended.
AFTER_JOB_S = 0.3


def predict(project_id: int, task_id: int) -> None:
    """Predicts one task; one whose image does not come at once when it has come."""

    def again() -> None:
        time.sleep(AFTER_JOB_S)
        context().queue.ensure(JobName.PREDICT, project_id, task_id)

    # One that was disconnected since an annotator opened the task is nobody's failure.
    with suppress(NotConnectedError):
        score_task(context(), project_id, task_id, again)


def finish() -> None:
    """Called when the worker ends: what is under way counts as not begun."""
    if context.cache_info().currsize:
        close_pools(context())


def _is_somebody_waiting() -> bool:
    with suppress(StackError):
        return context().queue.has_waiting(QueueName.INTERACTIVE)
    return False


def _ask_for_push(project_id: int) -> None:
    now = time.monotonic()
    if now < _next_push_at.get(project_id, 0.0):
        return
    _next_push_at[project_id] = now + pause_s(context(), project_id)
    with suppress(StackError):  # all is pushed at the end
        context().queue.ensure(JobName.PUSH, project_id)
