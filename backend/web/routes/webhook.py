"""POST /webhook: something changed. Kept as a hint; what changed is read from Label Studio."""

from __future__ import annotations

from fastapi import HTTPException, Request

from backend.store.projects import START_TRAINING
from backend.web.body import read_body
from backend.web.inbox import Hint, Inbox
from backend.web.protocol import WebhookAnswer, WebhookEvent

LIMIT_MIB = 16


async def webhook(request: Request) -> WebhookAnswer:
    """Answers within milliseconds: the annotator's own request waits for it, 1 s at most."""
    event = await read_body(request, WebhookEvent, LIMIT_MIB)
    if event.project is None and event.action == START_TRAINING:
        raise HTTPException(422, "START_TRAINING names no project. Send its id as `project`.")
    inbox: Inbox = request.app.state.inbox
    hint = Hint(event.project, event.action, tuple(event.task_ids), event.project_created)
    await inbox.put(hint)
    return WebhookAnswer()
