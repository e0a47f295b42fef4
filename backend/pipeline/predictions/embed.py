"""Makes the embeddings of a project's images, a few seconds at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from functools import cache
from typing import Any

import numpy.typing as npt

from backend.pipeline.basis import trials
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.embeddings import are_missing
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.images import load_image
from backend.pipeline.basis.loading import Arrivals
from backend.pipeline.predictions.open_pool import PORTION, Between
from backend.queue import stop_requested
from backend.store import embeddings, projects
from backend.store.models import ProjectRow, TaskRow
from backend.store.trials import begin_trials, bury_dead, end_trials
from domain.labels import LabelConfig
from training.nnunet.networks.image_embedding import ImageEmbedding

logger = logging.getLogger(__name__)

CHUNK_S = 3.0
"""As scoring: then the worker is handed back, for what is more urgent."""


def embed_chunk(context: AppContext, project_id: int, between: Between | None = None) -> bool:
    """Makes missing embeddings for a few seconds; returns whether some are left.

    An image that does not come by then goes on coming, for the next call. One that can't be read,
    or at which a worker died, is left alone for some hours.

    Raises:
        LabelStudioError: Label Studio does not answer: no fault of a task.
    """
    if stop_requested() or not are_missing(context, project_id):
        return False
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        suspects, deadly = bury_dead(session, project_id, trials.liveness(context))
        for task_id in suspects | deadly:
            if (task := session.get(TaskRow, task_id)) is not None:
                embeddings.save(session, task, task.image_hash, None)
        embeddings.prune(session, project_id)
    _Chunk(context, project).run(time.monotonic() + CHUNK_S, between or Between())
    return are_missing(context, project_id)


@cache
def _embedding() -> ImageEmbedding:
    return ImageEmbedding()


class _Chunk:
    """Some seconds of work on one project."""

    def __init__(self, context: AppContext, project: ProjectRow) -> None:
        self._context, self._project = context, project
        self._config: LabelConfig = label_config_of(project, project.settings)
        self._given: set[int] = set()

    def run(self, until: float, between: Between) -> None:
        arrivals = Arrivals(
            self._context.image_loads, self._more, self._key, self._load, self._begin, until
        )
        try:
            while arrivals.wait():
                for task in arrivals:
                    self._embed(task, arrivals)
                    if between.must_end() or stop_requested() or time.monotonic() > until:
                        return
        finally:
            arrivals.close()
            # What still comes is looked at by the next call.
            self._end([*arrivals.left_over(), *(task.id for task, _ in arrivals.under_way())])

    def _embed(self, task: TaskRow, arrivals: Arrivals) -> None:
        image_hash = self._context.image_loads.content_of(self._key(task))
        vector = None
        try:
            vector = _embedding()(arrivals.image(task))
        except Exception as error:  # noqa: BLE001 - what is no fault of the task is raised
            fault = fault_of(task.id, error)
            logger.warning("Project %d: no embedding: %s", self._project.id, fault.in_full)
        finally:
            arrivals.done(task)
            self._end([task.id])
        with self._context.store.begin() as session:
            embeddings.save(session, task, image_hash, vector)

    def _more(self) -> list[TaskRow]:
        with self._context.store.read() as session:
            found = embeddings.missing(session, self._project.id, PORTION + len(self._given))
        rows = [task for task in found if task.id not in self._given][:PORTION]
        self._given.update(task.id for task in rows)
        return rows

    def _key(self, task: TaskRow) -> Hashable:
        return (task.id, task.source, *(str(task.data.get(key)) for key in self._config.image_keys))

    def _load(self, task: TaskRow) -> npt.NDArray[Any]:
        image = load_image(self._context, task, self._config)
        self._context.image_loads.note_content(self._key(task), task.image_hash)
        return image

    def _begin(self, tasks: list[TaskRow]) -> None:
        with self._context.store.begin() as session:
            begin_trials(session, tasks, trials.worker_name())

    def _end(self, task_ids: list[int]) -> None:
        if task_ids:
            with self._context.store.begin() as session:
                end_trials(session, task_ids)
