"""Takes tasks over from Label Studio: all, what has changed since, or the next few in turn."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from backend.pipeline.basis.context import AppContext
from backend.pipeline.sync.marks import is_later, latest
from backend.store import projects
from backend.store.identity import CHUNK
from backend.store.tasks import snapshots
from domain.annotation import Task

logger = logging.getLogger(__name__)

PORTION = 250
"""Tasks that are read once more at a time: Label Studio takes 0.3 s for them."""

LEAF = 30
"""Of so many tasks it is asked which are there; of more, how many."""

MOST_QUESTIONS = 60
"""About as much work for Label Studio as reading 2,000 tasks: then all of them are read."""


@dataclass(slots=True)
class Taken:
    """What a reading has taken over so far.

    Attributes:
        n_changed: Annotations that are new, changed or gone, and tasks that are gone.
        n_hidden: Of these, how many were of tasks whose time of change says that nothing was.
        newest: The latest change of a task, Label Studio's text.
        seen: Ids of the tasks that were read.
        changed_tasks: Ids of those whose annotations were new or changed.
    """

    n_changed: int = 0
    n_hidden: int = 0
    newest: str = ""
    seen: set[int] = field(default_factory=set)
    changed_tasks: set[int] = field(default_factory=set)


class Taker:
    """Reads tasks of one project into its snapshots.

    Args:
        context: The process's context.
        project_id: A connected project.
        image_keys: The fields of its images; None where the interface can't be read.
        since: What was changed later is asked for as changed.
    """

    def __init__(
        self,
        context: AppContext,
        project_id: int,
        image_keys: Sequence[str] | None,
        since: str = "",
    ) -> None:
        self.taken = Taken()
        self.since = since
        self._context = context
        self._client = context.label_studio
        self._project_id = project_id
        self._image_keys = image_keys

    def take_all(self) -> None:
        """Reads every task; those that are not there count as deleted."""
        self.taken.seen.clear()
        self._write(self._client.iter_tasks(self._project_id))
        with self._context.store.begin() as session:
            projects.lock(session, self._project_id)
            n = snapshots.remove_missing(session, self._project_id, self.taken.seen)
        self.taken.n_changed += n

    def take_changed(self) -> None:
        """Reads the tasks that were changed since."""
        self._write(self._client.iter_tasks(self._project_id, updated_after=self.since))

    def take_told(self, task_ids: Collection[int]) -> None:
        """Reads tasks that hints tell of, whatever their times say; absent ones were deleted."""
        wanted = set(task_ids) - self.taken.seen
        if not wanted:
            return
        self._write(self._client.iter_tasks(self._project_id, task_ids=wanted), is_told=True)
        self._remove(wanted - self.taken.seen)

    def take_turn(self, after_id: int) -> int:
        """Reads the ``PORTION`` tasks that come after an id; the last of them, 0 at the end."""
        tasks = self._client.next_tasks(self._project_id, after_id, PORTION)
        last_id = tasks[-1].id if len(tasks) == PORTION else 0
        self._write(tasks, is_told=True)
        with self._context.store.read() as session:
            known = snapshots.live_tasks(session, self._project_id, after_id, last_id)
        self._remove(set(known) - {task.id for task in tasks})
        return last_id

    def take_deletions(self) -> bool:
        """Looks for tasks that are there no more; False where that would cost more than all."""
        with self._context.store.read() as session:
            known = snapshots.live_tasks(session, self._project_id)
        gone: set[int] = set()
        spans, n_questions = [known], 0
        while spans:
            span = spans.pop()
            if n_questions >= MOST_QUESTIONS:
                return False
            n_questions += 1
            if len(span) <= LEAF:
                gone.update(set(span) - self._client.existing_tasks(self._project_id, span))
                continue
            n_there = self._client.count_tasks(self._project_id, span[0], span[-1])
            if n_there == 0:
                gone.update(span)
            elif n_there != len(span):
                middle = len(span) // 2
                spans += [span[:middle], span[middle:]]
        self._remove(gone)
        return True

    def _write(self, tasks: Iterable[Task], *, is_told: bool = False) -> None:
        """Writes tasks into the snapshots, some at a time.

        ``is_told``: they were not asked for by their times, so changes may be hidden.
        """
        left = iter(tasks)
        while chunk := list(islice(left, CHUNK)):
            hidden = [t for t in chunk if is_told and not is_later(t.updated_at, self.since)]
            shown = [t for t in chunk if not is_told or is_later(t.updated_at, self.since)]
            with self._context.store.begin() as session:
                projects.lock(session, self._project_id)
                for part, is_hidden in ((hidden, True), (shown, False)):
                    n = snapshots.write_tasks(
                        session,
                        self._project_id,
                        part,
                        self._image_keys,
                        self.taken.changed_tasks,
                    )
                    self.taken.n_changed += n
                    self.taken.n_hidden += n if is_hidden else 0
            for task in chunk:
                self.taken.seen.add(task.id)
                self.taken.newest = latest(self.taken.newest, task.updated_at)

    def _remove(self, task_ids: Collection[int]) -> None:
        if not task_ids:
            return
        with self._context.store.begin() as session:
            projects.lock(session, self._project_id)
            n = snapshots.remove_tasks(session, self._project_id, task_ids)
        self.taken.n_changed += n
