"""Jobs that read Label Studio and push to it. They load no network and wait for no image."""

from __future__ import annotations

import logging

from backend.jobs.process import context
from backend.pipeline import publish as publishing
from backend.pipeline import run_ends
from backend.pipeline.control import stands_still
from backend.pipeline.sync import sync_project
from domain.errors import ProjectGoneError
from domain.status import RunStatus

logger = logging.getLogger(__name__)


def sync(project_id: int) -> None:
    """Reads a project from Label Studio."""
    try:
        sync_project(context(), project_id)
    except ProjectGoneError as error:
        logger.warning("%s %s", error, error.remedy)


def publish(project_id: int) -> None:
    """Pushes the champion's predictions."""
    opened, status = context(), RunStatus.PUBLISHING
    if stands_still(opened, project_id, status) or run_ends.is_paused(opened, project_id, status):
        return
    with run_ends.step_of_run(opened, project_id, status):
        publishing.try_publish(opened, project_id)
        run_ends.published(opened, project_id)
