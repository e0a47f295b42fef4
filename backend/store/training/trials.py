"""Trials: which task a worker is at, so that one that kills workers is found and set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.models import TaskRow, TrialRow

MAX_DEATHS = 2
"""A task that was at work when so many workers died is left alone."""


def begin_trials(session: Session, tasks: Iterable[TaskRow], worker: str) -> None:
    """Notes that a worker is about to work on tasks."""
    for task in tasks:
        row = session.get(TrialRow, task.id)
        if row is None:
            row = TrialRow(task_id=task.id, project_id=task.project_id, deaths=0)
            session.add(row)
        elif row.source != task.source:
            row.deaths = 0  # another image under the same id
        row.worker, row.source, row.started_at = worker, task.source, clock.now()


def end_trials(session: Session, task_ids: Sequence[int]) -> None:
    """Notes that the work on tasks is over, well or not, and the worker lives."""
    session.execute(delete(TrialRow).where(TrialRow.task_id.in_(task_ids)))


def bury_dead(
    session: Session, project_id: int, is_alive: Callable[[str], bool]
) -> tuple[set[int], set[int]]:
    """Counts the workers of a project that died at work.

    Args:
        session: The store's.
        project_id: Whose tasks.
        is_alive: Whether a worker lives, by the name given to ``begin``.

    Returns:
        (suspects, deadly ones): ids of tasks that were at work when one worker died, of which most
        only stood by; and of those at work at ``MAX_DEATHS`` deaths.
    """
    suspects: set[int] = set()
    deadly: set[int] = set()
    query = select(TrialRow, TaskRow.source).outerjoin(TaskRow, TaskRow.id == TrialRow.task_id)
    for row, source in session.execute(query.where(TrialRow.project_id == project_id)).all():
        if source is None or source != row.source:
            # The task is gone, or is another one by now.
            if not row.worker or not is_alive(row.worker):
                session.delete(row)
            continue
        if row.worker and not is_alive(row.worker):
            row.worker = ""
            row.deaths += 1
        if not row.worker and row.deaths:
            (deadly if row.deaths >= MAX_DEATHS else suspects).add(row.task_id)
    return suspects, deadly


def forgive(session: Session, project_id: int) -> None:
    """Forgets the deaths of a project's tasks: they are tried again."""
    session.execute(
        update(TrialRow)
        .where(TrialRow.project_id == project_id, TrialRow.deaths > 0)
        .values(deaths=0)
    )
