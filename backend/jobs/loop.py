"""Jobs that move the loop on: reading, one step of a run, publishing."""

from __future__ import annotations

import logging

from backend.jobs.process import context
from backend.pipeline import publish as publishing
from backend.pipeline import runs
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


def advance(run_id: int) -> None:
    """Takes the next step of a run."""
    runs.advance(context(), run_id)


def publish(project_id: int) -> None:
    """Pushes the champion's predictions."""
    if stands_still(context(), project_id, RunStatus.PUBLISHING):
        return
    with runs.step_of_run(context(), project_id, RunStatus.PUBLISHING):
        publishing.try_publish(context(), project_id)
        runs.published(context(), project_id)
