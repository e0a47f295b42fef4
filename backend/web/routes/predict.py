"""POST /predict: predictions of the tasks asked for, from the store, all or none."""

from __future__ import annotations

import time

from fastapi import HTTPException, Request

from backend.pipeline.basis.context import AppContext
from backend.web.answer import Question, answer
from backend.web.body import read_body
from backend.web.protocol import PredictAnswer, PredictRequest
from backend.web.waiting import arrived_at
from domain.annotation import Task

# 1,000 tasks are 0.6 MiB, more when they carry predictions or images as text.
LIMIT_MIB = 64


async def predict(request: Request) -> PredictAnswer:
    """Answers within NNLOOP_PREDICT_DEADLINE_S of the request's arrival; 503 if it can't."""
    body = await read_body(request, PredictRequest, LIMIT_MIB)
    if not body.tasks:
        return PredictAnswer(results=[])
    if body.project_id is None:
        raise HTTPException(422, "The request names no project. Send its id as `project`.")
    context: AppContext = request.app.state.context
    deadline = arrived_at(request) + context.settings.predict_deadline_s
    question = Question(
        project_id=body.project_id,
        tasks={
            task.id: Task(task.id, body.project_id, task.data, created_at=task.created_at or "")
            for task in body.tasks
        },
        label_config=body.label_config or "",
        project_created=body.project_created,
    )
    try:
        results = await answer(context, question, deadline)
    finally:
        request.app.state.metrics.predicted(time.monotonic() - arrived_at(request))
    return PredictAnswer(results=[results[task.id] for task in body.tasks])
