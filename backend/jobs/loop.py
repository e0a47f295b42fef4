"""Jobs that read Label Studio and push to it. They load no network and wait for no image."""

from __future__ import annotations

import logging
import threading

from backend.jobs.process import context
from backend.log_lines import carried
from backend.pipeline.basis import embeddings
from backend.pipeline.doubts.tab import try_check
from backend.pipeline.predictions.publish import try_publish
from backend.pipeline.predictions.push import push_part
from backend.pipeline.queues.fill import try_fill
from backend.pipeline.runs import ends
from backend.pipeline.runs.control import stands_still
from backend.pipeline.runs.notify import deliver_due
from backend.pipeline.sync.reading import sync_project
from backend.queue import JobName
from domain.errors import LabelStudioError, NotConnectedError, ProjectGoneError
from domain.states import RunStatus

logger = logging.getLogger(__name__)

_telling: dict[int, threading.Thread] = {}


def sync(project_id: int) -> None:
    """Reads a project from Label Studio."""
    try:
        sync_project(context(), project_id)
    except ProjectGoneError as error:
        logger.warning(error.in_full)
    except NotConnectedError as error:
        # It was disconnected since this was asked for, which is nobody's failure.
        logger.info("Nothing is read: %s", error)
    else:
        try_fill(context(), project_id)
        try_check(context(), project_id)
        if embeddings.are_missing(context(), project_id):
            context().queue.ensure(JobName.EMBED, project_id, 0)


def fill(project_id: int) -> None:
    """Fills the queues of a project from what is known of it."""
    try_fill(context(), project_id)


def check(project_id: int) -> None:
    """Makes the tab of doubtful labels list what a new version doubts."""
    try_check(context(), project_id)


def publish(project_id: int) -> None:
    """Pushes the champion's predictions."""
    opened, status = context(), RunStatus.PUBLISHING
    if stands_still(opened, project_id, status) or ends.is_paused(opened, project_id, status):
        return
    with ends.step_of_run(opened, project_id, status):
        try_publish(opened, project_id)
        ends.published(opened, project_id)
        try_fill(opened, project_id)
        try_check(opened, project_id)


def notify(project_id: int) -> None:
    """Tells how trainings ended: in a thread, for a command may take its time."""
    for known in [known for known, thread in _telling.items() if not thread.is_alive()]:
        del _telling[known]
    if project_id in _telling:
        return  # it is asked for again while anything is due
    # No daemon: a worker that is told to end waits for the delivery under way.
    thread = _telling[project_id] = threading.Thread(
        target=carried(deliver_due), args=(context(), project_id), name=f"notify {project_id}"
    )
    thread.start()


def push(project_id: int) -> None:
    """Pushes what was scored so far; what does not go out now does with the next part."""
    opened = context()
    if stands_still(opened, project_id, RunStatus.SCORING):
        return
    if ends.is_paused(opened, project_id, RunStatus.PUBLISHING):
        return
    try:
        push_part(opened, project_id)
    except LabelStudioError as error:
        logger.warning("Project %d: %s", project_id, error)
