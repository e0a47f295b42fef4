"""POST /setup: Label Studio asks which version serves, before it asks for predictions."""

from __future__ import annotations

import logging

from fastapi import Request

from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.training import versions
from backend.web.body import read_body
from backend.web.protocol import SetupAnswer, SetupRequest
from backend.web.recurring_log import RecurringLog
from backend.web.waiting import arrived_at, in_thread

logger = logging.getLogger(__name__)

UNTRAINED = "nnloop-untrained"
"""The version named while there is none; no prediction ever carries it."""

LIMIT_MIB = 4
# Label Studio waits 3 s.
LIMIT_S = 2.0
_log = RecurringLog()


async def setup(request: Request) -> SetupAnswer:
    """Names the champion. The token that Label Studio sends along is not read."""
    body = await read_body(request, SetupRequest, LIMIT_MIB)
    context: AppContext = request.app.state.context
    name = await in_thread(arrived_at(request) + LIMIT_S, _set_up, context, body)
    return SetupAnswer(model_version=name)


def _set_up(context: AppContext, body: SetupRequest) -> str:
    with context.store.begin() as session:
        project = projects.find_same(session, body.project, body.project_created)
        if project is None or project.id in projects.halted(session):
            message = (
                f"Label Studio set nnloop up for project {body.project}, which is not connected. "
                f"Connect it: nnloop connect {body.project}"
            )
            if _log.is_due(message):
                logger.warning("%s", message)
            return UNTRAINED
        if body.label_config and body.label_config != project.label_config:
            projects.add_hint(session, project.id, "SETUP", [])
        champion = versions.champion(session, project.id)
        return champion.name if champion else UNTRAINED
