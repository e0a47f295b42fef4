"""Makes the embeddings of a project's images, a few seconds at a time."""

from __future__ import annotations

import logging
import time

from backend.pipeline.basis import trials
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.embeddings import are_missing
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.loading import Arrivals
from backend.pipeline.predictions.open_pool import PORTION, Between
from backend.pipeline.predictions.task_images import TaskImages
from backend.queue import stop_requested
from backend.store import projects
from backend.store.models import ProjectRow, TaskRow
from backend.store.tasks import embeddings
from backend.store.training.trials import bury_dead
from training.nnunet.networks.image_embedding import shared_embedding

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


class _Chunk:
    """Some seconds of work on one project."""

    def __init__(self, context: AppContext, project: ProjectRow) -> None:
        self._context, self._project = context, project
        self._images = TaskImages(context, label_config_of(project, project.settings))
        self._given: set[int] = set()

    def run(self, until: float, between: Between) -> None:
        arrivals = self._images.arrivals(self._more, until)
        try:
            while arrivals.wait():
                for task in arrivals:
                    self._embed(task, arrivals)
                    if between.must_end() or stop_requested() or time.monotonic() > until:
                        return
        finally:
            arrivals.close()
            # What still comes is looked at by the next call.
            self._images.end(
                [*arrivals.left_over(), *(task.id for task, _ in arrivals.under_way())]
            )

    def _embed(self, task: TaskRow, arrivals: Arrivals) -> None:
        image_hash = self._images.content_of(task)
        vector = None
        try:
            vector = shared_embedding()(arrivals.image(task))
        except Exception as error:  # noqa: BLE001 - what is no fault of the task is raised
            fault = fault_of(task.id, error)
            logger.warning("Project %d: no embedding: %s", self._project.id, fault.in_full)
        finally:
            arrivals.done(task)
            self._images.end([task.id])
        with self._context.store.begin() as session:
            embeddings.save(session, task, image_hash, vector)

    def _more(self) -> list[TaskRow]:
        with self._context.store.read() as session:
            found = embeddings.missing(session, self._project.id, PORTION + len(self._given))
        rows = [task for task in found if task.id not in self._given][:PORTION]
        self._given.update(task.id for task in rows)
        return rows
