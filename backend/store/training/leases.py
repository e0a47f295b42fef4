"""Leases of runs and folds: who holds one keeps changing it; one that stands still is freed.

``lease_until`` is 0 where nobody holds it. Else it is what the holder's clock said when it was
renewed last, and ``LEASE_S``: another number each time. It is compared with nobody's clock, for
clocks of machines differ and can be set. Whoever sees that it has not changed for ``LEASE_S`` of
their own monotonic clock frees it.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.models import FoldRow, RunRow
from domain.stillness import Stillness

LEASE_S = 20.0
"""A holder changes its lease at least this often per third; after it, another may take over."""


def next_lease() -> float:
    """What a holder writes when it takes or renews a lease."""
    return clock.now() + LEASE_S


def free_lapsed(session: Session, seen: Stillness) -> tuple[list[int], int]:
    """Frees the leases that have stood still for too long.

    Args:
        session: Of the store.
        seen: What this process saw before, and nothing else.

    Returns:
        (ids of runs that somebody held, how many folds somebody held).
    """
    held: dict[tuple[str, int], float] = {}
    freed: dict[str, list[int]] = {RunRow.__tablename__: [], FoldRow.__tablename__: []}
    for table in (RunRow, FoldRow):
        query = select(table.id, table.lease_until).where(table.lease_until != 0.0)
        for row_id, lease in session.execute(query).all():
            key = (table.__tablename__, row_id)
            held[key] = lease
            if seen.seconds(key, lease) < LEASE_S:
                continue
            change = update(table).where(table.id == row_id, table.lease_until == lease)
            session.execute(change.values(lease_until=0.0))
            freed[table.__tablename__].append(row_id)
    seen.keep(held)
    return freed[RunRow.__tablename__], len(freed[FoldRow.__tablename__])


def free_all(session: Session) -> None:
    """Frees all leases, where nobody can be at work."""
    for table in (RunRow, FoldRow):
        session.execute(update(table).values(lease_until=0.0))
