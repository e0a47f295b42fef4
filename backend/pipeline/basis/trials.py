"""Who is at work on which task: this process, and whether another one that was still lives."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import psutil

from backend.pipeline.basis.context import AppContext
from backend.store.models import TaskRow
from backend.store.training.trials import begin_trials, bury_dead, end_trials
from domain.errors import StackError, TaskError
from training.processes.birth import birth_mark


@cache
def worker_name() -> str:
    """This process, unlike every other one that ever ran: HOST/PID/START/RANDOM."""
    pid = os.getpid()
    return f"{socket.gethostname()[:60]}/{pid}/{birth_mark(pid)}/{uuid.uuid4().hex[:8]}"


def liveness(context: AppContext) -> Callable[[str], bool]:
    """A function that says whether a worker lives, by its ``worker_name``."""

    @cache
    def heard_of() -> tuple[str, ...] | None:
        try:
            return tuple(worker.name for worker in context.queue.workers())
        except StackError:
            return None

    def is_alive(name: str) -> bool:
        host, pid, started, _ = name.split("/")
        if name == worker_name():
            return True
        if host == socket.gethostname()[:60]:
            try:
                return pid != str(os.getpid()) and birth_mark(int(pid)) == started
            except psutil.Error:
                return False
        # Of another machine the heartbeat counts, if Redis can be asked for it.
        names = heard_of()
        return names is None or any(f"-{host}-{pid}-" in name for name in names)

    return is_alive


def deadly_error(task_id: int) -> TaskError:
    """The error of a task at which workers died."""
    return TaskError(
        task_id,
        "kills_worker",
        "the worker died twice while it was at this task.",
        remedy="Its image may need more memory than there is: scale it down, or give the worker "
        "more. Then `nnloop score PROJECT --retry` lets it be tried again.",
    )


def deadly_tasks(context: AppContext, project_id: int) -> set[int]:
    """Ids of a project's tasks at which workers died too often."""
    with context.store.begin() as session:
        return bury_dead(session, project_id, liveness(context))[1]


@contextmanager
def at_work(context: AppContext, task: TaskRow, deadly: set[int]) -> Iterator[None]:
    """Notes that this process is at a task while the block lasts.

    Raises:
        TaskError: The task is among the ``deadly`` ones.
    """
    if task.id in deadly:
        raise deadly_error(task.id)
    with context.store.begin() as session:
        begin_trials(session, [task], worker_name())
    try:
        yield
    finally:
        with context.store.begin() as session:
            end_trials(session, [task.id])
