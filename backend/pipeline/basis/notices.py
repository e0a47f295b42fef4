"""Keeps what somebody wants to be told of a training, in the transaction in which it happens."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from backend.settings import Settings
from backend.store import projects
from backend.store.models import RunRow
from backend.store.training import notices
from backend.store.training.notices import Channel, NoticeRow

_LINK = "{url}/projects/{project}/data"


class Event(StrEnum):
    """What may be told."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The ways in which somebody wants to be told."""
    wanted = {
        Channel.COMMAND: settings.notify_command.get_secret_value(),
        Channel.URL: settings.notify_url.get_secret_value(),
    }
    return tuple(channel for channel, value in wanted.items() if value)


def keep_notice(
    session: Session,
    settings: Settings,
    run: RunRow,
    event: Event,
    *,
    version: str = "",
    verdict: str = "",
) -> None:
    """Keeps a notice for each way, if the event is one of those wanted; nothing is sent yet.

    Args:
        session: Of the store.
        settings: Of this process.
        run: The run.
        event: What happened to it.
        version: The name of its version; "" without one.
        verdict: What the gate says, or why it failed.
    """
    channels = channels_of(settings)
    if not channels or event not in settings.notify_events:
        return
    project = projects.get(session, run.project_id)
    link = settings.label_studio_url
    body = {
        # The same in each try and in each way: who gets one twice can tell.
        "id": uuid.uuid4().hex,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": str(event),
        "project": project.id,
        "title": project.title,
        "run": run.number,
        "version": version,
        "verdict": verdict,
        "sentence": _sentence(project.title or str(project.id), run, event, version, verdict),
        "link": _LINK.format(url=link.rstrip("/"), project=project.id) if link else "",
    }
    for channel in channels:
        notices.add(
            session,
            NoticeRow(
                project_id=project.id, run_id=run.id, event=str(event), channel=channel, body=body
            ),
        )


def _sentence(title: str, run: RunRow, event: Event, version: str, verdict: str) -> str:
    if event == Event.PROMOTED:
        said = f"{version} serves now"
    elif event == Event.REFUSED:
        said = f"{version} was not promoted"
    else:
        said = f"training run {run.number} {'failed' if event == Event.FAILED else 'is cancelled'}"
    return f"{title}: {said}{': ' if verdict else '.'}{verdict}"
