"""Images of tasks as they come, and who is at work on which."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy.typing as npt

from backend.pipeline.basis import trials
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.images import load_image
from backend.pipeline.basis.loading import Arrivals
from backend.store.models import TaskRow
from backend.store.training.trials import begin_trials, end_trials
from domain.labels import LabelConfig


class TaskImages:
    """Fetches the images of a project's tasks.

    While a task is worked on its trial stands in the store: a worker that dies leaves it there.
    """

    def __init__(self, context: AppContext, config: LabelConfig) -> None:
        self._context, self._config = context, config

    def arrivals(self, more: Callable[[], Sequence[TaskRow]], until: float) -> Arrivals:
        """Tasks in the order in which their images come; each of them is on trial from then on."""
        return Arrivals(self._context.image_loads, more, self._key, self._load, self._begin, until)

    def content_of(self, task: TaskRow) -> str:
        """Hash of the bytes of the task's images as they came; "" where nobody can tell."""
        return self._context.image_loads.content_of(self._key(task))

    def end(self, task_ids: list[int]) -> None:
        """Nobody is at work on these tasks any more."""
        if task_ids:
            with self._context.store.begin() as session:
                end_trials(session, task_ids)

    def _key(self, task: TaskRow) -> Hashable:
        return (task.id, task.source, *(str(task.data.get(key)) for key in self._config.image_keys))

    def _load(self, task: TaskRow) -> npt.NDArray[Any]:
        image = load_image(self._context, task, self._config)
        self._context.image_loads.note_content(self._key(task), task.image_hash)
        return image

    def _begin(self, tasks: list[TaskRow]) -> None:
        with self._context.store.begin() as session:
            begin_trials(session, tasks, trials.worker_name())
