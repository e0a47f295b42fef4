"""What became of the hints in the inbox, and how long they are kept.

How they come and are found open is in ``projects``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.identity import CHUNK
from backend.store.models import InboxRow, ProjectRow

KEPT_S = 30 * 24 * 3600.0
"""A hint that is handled is kept so long, to look back at."""

KEPT = 10_000
"""So many handled hints of a project are kept at most, the newest."""

KEPT_UNCONNECTED = 100
"""So many hints of a project that is not connected are kept at most, the newest."""

KEPT_OF_ALL_UNCONNECTED = 5_000
"""So many hints of all projects that are not connected are kept at most, the newest."""


@dataclass(frozen=True, slots=True)
class Unconnected:
    """A project that is not connected and sends webhooks: how many are kept, and the newest's time.

    ``newest`` is in seconds since the epoch.
    """

    project_id: int
    n: int
    newest: float


def open_ones(session: Session, project_id: int, up_to_id: int) -> list[tuple[int, str, list[int]]]:
    """(id, action, task ids) of the open hints up to an id, oldest first."""
    query = select(InboxRow.id, InboxRow.action, InboxRow.task_ids).where(
        InboxRow.project_id == project_id,
        InboxRow.id <= up_to_id,
        InboxRow.handled_at.is_(None),
    )
    rows = session.execute(query.order_by(InboxRow.id)).all()
    return [(hint_id, action, task_ids) for hint_id, action, task_ids in rows]


def close(session: Session, hint_ids: Sequence[int], decision: str) -> None:
    """Marks hints as handled by a decision."""
    for start in range(0, len(hint_ids), CHUNK):
        query = update(InboxRow).where(InboxRow.id.in_(hint_ids[start : start + CHUNK]))
        session.execute(query.values(handled_at=clock.now(), decision=decision))


def newest(session: Session, project_id: int | None, limit: int) -> list[InboxRow]:
    """The newest hints of a project, or of all of them, connected or not; newest first."""
    query = select(InboxRow).order_by(InboxRow.id.desc()).limit(limit)
    if project_id is not None:
        query = query.where(InboxRow.project_id == project_id)
    return list(session.scalars(query))


def unconnected(session: Session) -> list[Unconnected]:
    """The projects that are not connected and have sent webhooks, by their id."""
    query = (
        select(InboxRow.project_id, func.count(), func.max(InboxRow.received_at))
        .where(_is_unconnected())
        .group_by(InboxRow.project_id)
        .order_by(InboxRow.project_id)
    )
    return [Unconnected(*row) for row in session.execute(query)]


def forget_unconnected(session: Session, project_ids: Collection[int]) -> None:
    """Deletes what is too much of the hints of projects that are not connected."""
    for project_id in project_ids:
        ids = select(InboxRow.id).where(InboxRow.project_id == project_id)
        oldest_kept = ids.order_by(InboxRow.id.desc()).offset(KEPT_UNCONNECTED - 1).limit(1)
        session.execute(
            delete(InboxRow).where(
                InboxRow.project_id == project_id, InboxRow.id < oldest_kept.scalar_subquery()
            )
        )


def find_old(session: Session, now: float, limit: int) -> list[int]:
    """Ids of hints that are too old, or too many; at most ``limit`` of each kind.

    What is open stays, whatever its age: it is still to be read.
    """
    is_handled = InboxRow.handled_at.is_not(None)
    old = select(InboxRow.id).where(InboxRow.handled_at < now - KEPT_S)
    found = set(session.scalars(old.limit(limit)))
    ids = select(InboxRow.id).order_by(InboxRow.id.desc())
    of_others = ids.where(_is_unconnected())
    bounds = [(of_others, KEPT_OF_ALL_UNCONNECTED)]
    for project_id in session.scalars(select(ProjectRow.id)).all():
        bounds.append((ids.where(InboxRow.project_id == project_id), KEPT))
    for query, most in bounds:
        last = session.scalar(query.offset(most - 1).limit(1))
        if last is not None:
            too_many = query.where(InboxRow.id < last, is_handled)
            found.update(session.scalars(too_many.limit(limit)))
    return sorted(found)


def forget(session: Session, hint_ids: Sequence[int]) -> None:
    """Deletes hints."""
    session.execute(delete(InboxRow).where(InboxRow.id.in_(hint_ids)))


def _is_unconnected() -> ColumnElement[bool]:
    return InboxRow.project_id.not_in(select(ProjectRow.id))
