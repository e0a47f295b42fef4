"""Fills the queues of a project and brings its tabs to them."""

from __future__ import annotations

import logging

from backend.pipeline.basis.context import AppContext
from backend.pipeline.queues import batches
from backend.pipeline.queues.annotators import annotators_of
from backend.pipeline.queues.draw import HOLD_S, People, draw, entry_of
from backend.pipeline.queues.tabs import bring_tabs
from backend.settings import ProjectSettings
from backend.store import clock, projects
from backend.store.projects import Fault
from backend.store.tasks import queues
from domain.errors import LabelStudioError

logger = logging.getLogger(__name__)

STAGE = "queues"
"""Of the problems that say why queues are not what they should be."""

HISTORY_S = 30 * 24 * 3600.0
"""What the strategy chose and took back is kept so long, to look back at."""


def try_fill(context: AppContext, project_id: int) -> None:
    """``fill_queues``; a refusal becomes a problem of the project.

    It is tried again after the next reading.
    """
    try:
        fill_queues(context, project_id)
    except LabelStudioError as error:
        logger.warning("Project %d: its queues could not be filled: %s", project_id, error)
        with context.store.begin() as session:
            fault = Fault("label_studio", f"The queues could not be filled: {error}", error.remedy)
            projects.set_faults(session, project_id, STAGE, [fault])


def fill_queues(context: AppContext, project_id: int) -> None:
    """Brings the queues of a project up to date: who labels, what is left, what is new.

    Idempotent: where nothing has changed, nothing is drawn and nothing is sent. Does nothing for a
    project that stands still.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer; what was drawn is kept, and the
            tabs follow the next time.
        NotConnectedError: nnloop does not know the project.
    """
    # Two at once would draw one task for two people.
    with context.lock_of("queues", project_id):
        with context.store.begin() as session:
            if project_id in projects.halted(session):
                return
            settings = projects.get(session, project_id).settings
            queues.settle(session, project_id)
            queues.prune(session, project_id, clock.now() - HISTORY_S)
        people = _look(context, project_id, settings)
        with context.store.begin() as session:
            queues.reclaim(session, project_id, clock.now() - HOLD_S, people.drafts)
        draw(context, project_id, settings, people)
        with context.store.read() as session:
            entries = [entry_of(row) for row in queues.open_entries(session, project_id)]
        bring_tabs(context, project_id, people.annotators.found, batches.tasks_of(entries))
        with context.store.begin() as session:
            projects.set_faults(session, project_id, STAGE, _faults(project_id, people))


def _look(context: AppContext, project_id: int, settings: ProjectSettings) -> People:
    """Asks Label Studio who is there and what has been begun."""
    client = context.label_studio
    users = client.list_users()
    own_id = client.whoami().id
    drafts = frozenset(client.drafted_tasks(project_id))
    with context.store.read() as session:
        last = queues.last_labelled(session, project_id)
        held = {row.task_id for row in queues.open_entries(session, project_id)}
    owners = {task_id: client.draft_owners(task_id) for task_id in sorted(drafts - held)}
    found = annotators_of(users, own_id, last, settings.annotators, clock.now())
    mine = {task_id: ids for task_id, ids in owners.items() if ids & {a.id for a in found.found}}
    return People(found, last, drafts, mine)


def _faults(project_id: int, people: People) -> list[Fault]:
    unknown = people.annotators.unknown
    if not unknown:
        return []
    more = "" if len(unknown) == 1 else f", and {len(unknown) - 1} more"
    return [
        Fault(
            "annotator_unknown",
            f"The setting annotators names {unknown[0]!r}{more}: nobody in Label Studio, or not "
            "one alone, is called so.",
            f"Name people by their e-mail address: nnloop connect {project_id} --annotator ADDRESS",
        )
    ]
