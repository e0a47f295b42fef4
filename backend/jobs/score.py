"""Jobs that predict: a chunk of the pool, or the one task an annotator has opened."""

from __future__ import annotations

from backend.jobs.process import context
from backend.pipeline import runs
from backend.pipeline.control import stands_still
from backend.pipeline.score import score_chunk, score_task
from backend.queue import JobName
from domain.status import RunStatus


def score(project_id: int, turn: int) -> None:
    """Scores a part of the pool, then queues the next part behind what is more urgent.

    ``turn`` alternates between 0 and 1: a job can't queue itself while it runs.
    """
    if stands_still(context(), project_id, RunStatus.SCORING):
        return
    with runs.step_of_run(context(), project_id, RunStatus.SCORING):
        if score_chunk(context(), project_id):
            context().queue.ensure(JobName.SCORE, project_id, 1 - turn)
        else:
            runs.pool_scored(context(), project_id)


def predict(project_id: int, task_id: int) -> None:
    """Predicts one task."""
    score_task(context(), project_id, task_id)
