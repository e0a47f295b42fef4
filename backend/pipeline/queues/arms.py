"""The two arms of a project's queues, as ``active_learning.control_arm`` takes them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from active_learning.control_arm import Draw
from backend.store.tasks import queues
from backend.store.tasks.queues import QueueEntryRow
from domain.queues import QueueArm, QueueExit


def draws_of(session: Session, project_id: int, strategy: str = "") -> list[Draw]:
    """Every draw of a project with what its prediction came to.

    The quality is that of the prediction which people saw when they labelled the task. What the
    control arm drew and was taken back, when nobody was left to label it, has no end: its batch
    never counts.

    Args:
        session: Of the store.
        project_id: Whose queues.
        strategy: Only batches that this one chose for; "" = all.
    """
    rows = queues.history(session, project_id)
    if strategy:
        chosen = {row.batch for row in rows if row.strategy == strategy}
        rows = [row for row in rows if row.batch in chosen]
    quality = queues.shown_quality(session, project_id)
    return [_draw(row, quality) for row in rows]


def draws_by_version(session: Session, project_id: int) -> dict[int, list[Draw]]:
    """The draws by the version that served when they were drawn, as ``draws_of`` tells them."""
    quality = queues.shown_quality(session, project_id)
    found: dict[int, list[Draw]] = {}
    for row in queues.history(session, project_id):
        if row.version_id is not None:
            found.setdefault(row.version_id, []).append(_draw(row, quality))
    return found


def _draw(row: QueueEntryRow, quality: Mapping[tuple[int, str], float]) -> Draw:
    is_labelled = row.exit == QueueExit.LABELLED
    return Draw(
        batch=row.batch,
        is_control=row.arm == QueueArm.CONTROL,
        is_over=row.exit not in (QueueExit.NONE, QueueExit.WITHDRAWN),
        quality=quality.get((row.task_id, row.source)) if is_labelled else None,
    )
