"""OpenPool: the scoring of a project's pool, a turn at a time, never begun anew in between.

A worker gives itself back every few seconds, so that the task an annotator opens is predicted next.
What is under way by then (images on their way, prepared, in the networks) goes on, and the next
turn takes it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.loading import Arrivals
from backend.store.models import TaskRow
from backend.store.tasks import predictions
from backend.store.training import versions

MOST_OPEN = 2
"""Pools open at once; each keeps the networks of its version."""

PORTION = 64
"""Tasks looked up at once."""

Scored = Generator[TaskRow | None, None, None]
"""Each task once its answer is stored; None where none came by ``Arrivals.until``."""


@dataclass(frozen=True, slots=True)
class Between:
    """What a turn looks at between two tasks.

    Attributes:
        must_end: Whether it is to end before its time: somebody waits for the worker.
        on_scored: Called when an answer was stored.
    """

    must_end: Callable[[], bool] = lambda: False
    on_scored: Callable[[], None] = lambda: None


class OpenPool:
    """The pool of one project under one version, with the interface and settings of one moment.

    Attributes:
        key: What it depends on: under another one a new pool is opened.
    """

    def __init__(self, key: Hashable, arrivals: Arrivals, scored: Scored) -> None:
        """Takes the scoring as it is begun."""
        self.key = key
        self._arrivals, self._scored = arrivals, scored

    def turn(self, until: float, between: Between) -> bool:
        """Goes on until ``time.monotonic()`` is ``until``; whether the pool is used up."""
        self._arrivals.until = until
        for task in self._scored:
            if task is None:
                return False
            between.on_scored()
            if time.monotonic() > until or between.must_end():
                return False
        return True

    def close(self) -> None:
        """Gives up what is under way."""
        self._scored.close()


def open_pool(
    context: AppContext, project_id: int, key: Hashable, make: Callable[[], OpenPool]
) -> OpenPool:
    """The project's pool that is open, if it is of this key; else a new one in its place."""
    pools = context.open_scorings
    found = pools.get(project_id)
    if found is not None and cast(OpenPool, found).key == key:
        return cast(OpenPool, found)
    close_pool(context, project_id)
    while len(pools) >= MOST_OPEN:
        close_pool(context, next(iter(pools)))
    pools[project_id] = opened = make()
    return opened


def close_pool(context: AppContext, project_id: int) -> None:
    """Gives up what is under way of a project's pool."""
    if (found := context.open_scorings.pop(project_id, None)) is not None:
        found.close()


def close_pools(context: AppContext) -> None:
    """Gives up everything that is under way: the worker ends."""
    for project_id in list(context.open_scorings):
        with suppress(Exception):  # whoever comes next finds what is left
            close_pool(context, project_id)


class UnscoredTasks:
    """A pool's tasks, in the order in which annotators will meet them, each once."""

    def __init__(
        self, context: AppContext, project_id: int, version_id: int, left_out: Collection[int]
    ) -> None:
        """Looks nothing up yet; ``left_out`` are ids of tasks that are not to be predicted."""
        self._context, self._project_id, self._version_id = context, project_id, version_id
        self._left_out = frozenset(left_out)
        self._given: set[tuple[int, str]] = set()

    def __call__(self) -> list[TaskRow]:
        """The next ones; none when all were given."""
        with self._context.store.begin() as session:
            former = versions.former(session, self._project_id, self._version_id)
            rows = predictions.unscored_tasks(
                session,
                self._project_id,
                self._version_id,
                PORTION,
                former_id=former.id if former else None,
            )
        rows = [
            row
            for row in rows
            if row.id not in self._left_out and (row.id, row.source) not in self._given
        ]
        self._given.update((row.id, row.source) for row in rows)
        return rows
