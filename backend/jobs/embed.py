"""The job that makes embeddings of images, behind everything else that a worker predicts."""

from __future__ import annotations

import logging
from contextlib import suppress

from backend.jobs.process import context
from backend.pipeline.predictions.embed import embed_chunk
from backend.pipeline.predictions.open_pool import Between
from backend.queue import JobName, QueueName
from domain.errors import NnloopError, StackError

logger = logging.getLogger(__name__)


def embed(project_id: int, turn: int) -> None:
    """Makes some embeddings, then queues the next part behind what is more urgent.

    ``turn`` alternates between 0 and 1: a job can't queue itself while it runs. Whatever ends it is
    no loss: the next reading of the project asks for what is missing.
    """
    opened = context()
    try:
        is_left = embed_chunk(opened, project_id, Between(must_end=_is_somebody_waiting))
    except NnloopError as error:
        logger.warning("Project %d: no embeddings for now: %s", project_id, error)
        return
    if is_left:
        opened.queue.ensure(JobName.EMBED, project_id, 1 - turn)
    else:
        # Now that all is there the queues may be filled otherwise.
        opened.queue.ensure(JobName.FILL, project_id)


def _is_somebody_waiting() -> bool:
    with suppress(StackError):
        return context().queue.has_waiting(QueueName.INTERACTIVE)
    return False
