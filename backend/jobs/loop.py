"""Jobs that read Label Studio and push to it. They load no network and wait for no image."""

from __future__ import annotations

import logging

from backend.jobs.process import context
from backend.pipeline.predictions import publish as publishing
from backend.pipeline.runs import ends
from backend.pipeline.runs.control import stands_still
from backend.pipeline.sync.reading import sync_project
from domain.errors import ProjectGoneError
from domain.states import RunStatus

logger = logging.getLogger(__name__)


def sync(project_id: int) -> None:
    """Reads a project from Label Studio."""
    try:
        sync_project(context(), project_id)
    except ProjectGoneError as error:
        logger.warning(error.in_full)


def publish(project_id: int) -> None:
    """Pushes the champion's predictions."""
    opened, status = context(), RunStatus.PUBLISHING
    if stands_still(opened, project_id, status) or ends.is_paused(opened, project_id, status):
        return
    with ends.step_of_run(opened, project_id, status):
        publishing.try_publish(opened, project_id)
        ends.published(opened, project_id)
