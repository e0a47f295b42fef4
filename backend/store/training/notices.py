"""Notices: what somebody is to be told of a training, kept until it is delivered."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Index, String, Text, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.store import clock
from backend.store.models import Base, JsonDict

LEASE_S = 90.0
"""Who delivers a notice has it for so long; a delivery ends much earlier (``backend.delivery``)."""

FIRST_PAUSE_S = 30.0
"""Seconds after the first try that failed; doubles with each one."""

LONGEST_PAUSE_S = 3600.0

GIVE_UP_S = 24 * 3600.0
"""So long after the event nobody is told any more."""

KEPT_S = 30 * 24 * 3600.0
"""A notice that is settled is kept so long, to look back at."""


class Channel(StrEnum):
    """A way to tell."""

    COMMAND = "command"
    URL = "url"


class NoticeState(StrEnum):
    """How far one is."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given up"


class NoticeRow(Base):
    """One event of a run on its way through one channel. Unique per run, event and channel.

    ``body`` is what is sent, made when it happened. It is not tried before ``not_before``, which
    is in seconds since the epoch; ``error`` says why the last try failed.
    """

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("run_id", "event", "channel"),
        Index("ix_notice_due", "state", "not_before"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    run_id: Mapped[int]
    event: Mapped[str] = mapped_column(String(16))
    channel: Mapped[Channel] = mapped_column(String(16))
    body: Mapped[JsonDict] = mapped_column(default=dict)
    state: Mapped[NoticeState] = mapped_column(String(16), default=NoticeState.WAITING)
    created_at: Mapped[float] = mapped_column(default=clock.now)
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[float] = mapped_column(default=0.0)
    error: Mapped[str] = mapped_column(Text, default="")


def add(session: Session, row: NoticeRow) -> None:
    """Keeps a notice, unless there is one of the same run, event and channel."""
    query = select(NoticeRow.id).where(
        NoticeRow.run_id == row.run_id,
        NoticeRow.event == row.event,
        NoticeRow.channel == row.channel,
    )
    if session.scalar(query) is None:
        session.add(row)


def due_projects(session: Session) -> list[int]:
    """Ids of the projects of which somebody is to be told something now."""
    query = select(NoticeRow.project_id).where(
        NoticeRow.state == NoticeState.WAITING,
        clock.has_come(NoticeRow.not_before, LONGEST_PAUSE_S),
    )
    return list(session.scalars(query.distinct()))


def claim(session: Session, project_id: int) -> NoticeRow | None:
    """Takes the oldest notice of a project that is due, for ``LEASE_S``; None without one."""
    query = select(NoticeRow).where(
        NoticeRow.project_id == project_id,
        NoticeRow.state == NoticeState.WAITING,
        clock.has_come(NoticeRow.not_before, LONGEST_PAUSE_S),
    )
    row = session.scalar(query.order_by(NoticeRow.id).limit(1))
    if row is not None:
        row.attempts += 1
        row.not_before = clock.now() + LEASE_S
    return row


def settle(session: Session, notice_id: int, error: str) -> NoticeRow | None:
    """Notes how a try ended, "" = it was delivered; None when the project was forgotten."""
    row = session.get(NoticeRow, notice_id)
    if row is None:
        return None
    now = clock.now()
    row.error = error
    if not error:
        row.state = NoticeState.SENT
    elif now - row.created_at >= GIVE_UP_S:
        row.state = NoticeState.GIVEN_UP
    else:
        # The exponent is bounded: the float would overflow.
        pause_s = FIRST_PAUSE_S * 2 ** min(row.attempts - 1, 16)
        row.not_before = now + min(pause_s, LONGEST_PAUSE_S)
    return row


def drop(session: Session, notice_id: int, why: str) -> None:
    """Gives a notice up."""
    row = session.get(NoticeRow, notice_id)
    if row is not None:
        row.state, row.error = NoticeState.GIVEN_UP, why


def find_old(session: Session, now: float, limit: int) -> list[int]:
    """Ids of settled notices that are too old."""
    query = select(NoticeRow.id).where(
        NoticeRow.state != NoticeState.WAITING, NoticeRow.created_at < now - KEPT_S
    )
    return list(session.scalars(query.limit(limit)))


def forget(session: Session, notice_ids: Sequence[int]) -> None:
    """Deletes notices."""
    session.execute(delete(NoticeRow).where(NoticeRow.id.in_(notice_ids)))
