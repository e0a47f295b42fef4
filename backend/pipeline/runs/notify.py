"""Delivers the notices that are due, one after the other; each can be delivered twice, never lost.

A notice is claimed, delivered and settled: who dies in between leaves it to the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.delivery import DeliveryError, deliver
from backend.log_lines import about
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.notices import channels_of
from backend.store import projects
from backend.store.training import notices
from backend.store.training.notices import Channel, NoticeRow, NoticeState

logger = logging.getLogger(__name__)

STAGE = "notify"
"""Of the problems that say which way does not work."""

_SETTINGS = {Channel.COMMAND: "NNLOOP_NOTIFY_COMMAND", Channel.URL: "NNLOOP_NOTIFY_URL"}

_MEND = {
    Channel.COMMAND: "See what the command needs (docs/notices.md)",
    Channel.URL: "See why that address does not take it",
}
"""What to look at first: the setting is right as often as not."""


def deliver_due(context: AppContext, project_id: int) -> list[str]:
    """Delivers what is due of a project; the sentences of those that could not be."""
    failed: list[str] = []
    while True:
        with context.store.begin() as session:
            row = notices.claim(session, project_id)
        if row is None:
            return failed
        with about(project=row.project_id, run=int(row.body.get("run", 0))):
            error = _deliver(context, row)
        if error:
            failed.append(error)


def _deliver(context: AppContext, row: NoticeRow) -> str:
    """One notice; why it was not delivered, "" if it was."""
    if row.channel not in channels_of(context.settings):
        with context.store.begin() as session:
            notices.drop(session, row.id, f"{_SETTINGS[Channel(row.channel)]} is not set any more.")
        return ""
    try:
        deliver(context.settings, Channel(row.channel), row.body)
    except DeliveryError as error:
        why = str(error)
        logger.warning("The notice %r was not delivered: %s", row.event, why)
    else:
        why = ""
        logger.info("The notice %r was delivered (%s).", row.event, row.channel)
    with context.store.begin() as session:
        if notices.settle(session, row.id, why) is not None:
            _tell(session, row.project_id, channels_of(context.settings))
    return why


def _tell(session: Session, project_id: int, channels: Sequence[Channel]) -> None:
    """Makes the problems of the project say which way did not work at the last try."""
    faults = []
    for channel in channels:
        query = select(NoticeRow).where(
            NoticeRow.project_id == project_id,
            NoticeRow.channel == channel,
            NoticeRow.attempts > 0,
        )
        last = session.scalar(query.order_by(NoticeRow.id.desc()).limit(1))
        if last is None or not last.error:
            continue
        is_over = last.state == NoticeState.GIVEN_UP
        sentence = str(last.body.get("sentence", last.event))
        faults.append(
            projects.Fault(
                "not_delivered",
                f"Nobody was told this: {sentence.rstrip('.')}. {last.error} "
                + ("It was given up after a day." if is_over else "It is tried again for a day."),
                f"{_MEND[channel]}, or correct {_SETTINGS[channel]}.",
            )
        )
    projects.set_faults(session, project_id, STAGE, [projects.in_lines(one) for one in faults])
