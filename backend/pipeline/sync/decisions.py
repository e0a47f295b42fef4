"""What nnloop did because of a hint, in words that are kept with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy.orm import Session

from backend.store import hints, projects
from backend.store.tasks import readings
from domain.states import TaskState
from domain.text import counted, one_line

LENGTH = 400
"""Characters of a decision."""

_COUNTED, _KNOWN, _SKIPPED = "counted", "already read", "skipped"
_UNLABELLED, _GONE = "not labelled", "gone"
_WORDS = (_COUNTED, _KNOWN, _SKIPPED, _UNLABELLED, _GONE)


def keep_decisions(
    session: Session,
    project_id: int,
    up_to_id: int,
    *,
    changed: Collection[int],
    n_changed: int,
    outcome: str,
) -> None:
    """Closes the hints that a reading has followed, each with what it found and what came of it.

    Args:
        session: Of the store, in the transaction that starts what is due.
        project_id: A connected project.
        up_to_id: The newest hint there was when the reading began.
        changed: Ids of the tasks whose annotations were new or changed.
        n_changed: Changes of tasks and annotations in all.
        outcome: What the reading led to.
    """
    open_hints = hints.open_ones(session, project_id, up_to_id)
    named = {task_id for _, _, task_ids in open_hints for task_id in task_ids}
    states = readings.states_of(session, project_id, named)
    ids_of: defaultdict[str, list[int]] = defaultdict(list)
    for hint_id, action, task_ids in open_hints:
        if action == projects.OTHER_PROJECT:
            said = "ignored: it is of another project, which has the id of this one"
        elif action == projects.START_TRAINING:
            said = outcome
        elif task_ids:
            said = f"{_of_tasks(task_ids, changed, states)}; {outcome}"
        else:
            said = f"read, {counted(n_changed, 'change') if n_changed else 'no change'}; {outcome}"
        ids_of[one_line(said, LENGTH)].append(hint_id)
    for said, ids in ids_of.items():
        hints.close(session, ids, said)


def _of_tasks(
    task_ids: Collection[int], changed: Collection[int], states: Mapping[int, TaskState]
) -> str:
    """``counted``, or ``2 counted, 1 skipped``."""
    found = Counter(_of_task(task_id, changed, states) for task_id in task_ids)
    if len(task_ids) == 1:
        return next(iter(found))
    return ", ".join(f"{found[word]} {word}" for word in _WORDS if found[word])


def _of_task(task_id: int, changed: Collection[int], states: Mapping[int, TaskState]) -> str:
    state = states.get(task_id)
    if state is None:
        return _GONE
    if state == TaskState.LABELLED:
        return _COUNTED if task_id in changed else _KNOWN
    return _SKIPPED if state == TaskState.SKIPPED else _UNLABELLED
