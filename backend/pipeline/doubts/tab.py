"""The tab 'Check these labels' of Label Studio's Data Manager."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from backend.label_studio.views import CHECKING, Tab
from backend.pipeline.basis.context import AppContext
from backend.pipeline.doubts.current import doubted_now, settle_doubts
from backend.store import projects
from backend.store.projects import Fault
from backend.store.quality import doubts
from backend.store.quality.doubts import CheckTabRow
from domain.errors import LabelStudioError, MissingError

logger = logging.getLogger(__name__)

STAGE = "check"
"""Of the problem that says why the tab is not what it should be."""

TITLE = "Check these labels"

MOST_TASKS = 30
"""The tab has at most so many, the most doubtful: more come when these are checked."""


def try_check(context: AppContext, project_id: int) -> None:
    """``check_labels``; a refusal becomes a problem of the project, and is tried again."""
    try:
        check_labels(context, project_id)
    except LabelStudioError as error:
        logger.warning("Project %d: the tab %r: %s", project_id, TITLE, error)
        with context.store.begin() as session:
            message = f"The tab {TITLE!r} could not be brought up to date: {error}"
            fault = Fault("label_studio", message, error.remedy)
            projects.set_faults(session, project_id, STAGE, [fault])


def check_labels(context: AppContext, project_id: int) -> None:
    """Notes which doubtful labels were found right, and makes the tab list those that are left.

    The tab is there while something is to be checked. One that a person deleted meanwhile is made
    again, one that a person changed is put right; where nothing differs nothing is sent. Does
    nothing for a project that stands still.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
        NotConnectedError: nnloop does not know the project.
    """
    # Two at once would make two tabs.
    with context.lock_of("check", project_id):
        with context.store.begin() as session:
            if project_id in projects.halted(session):
                return
            project = projects.get(session, project_id)
            settle_doubts(session, project_id)
            found = doubted_now(session, project)[:MOST_TASKS] if project.settings.check_tab else []
            row = doubts.check_tab(session, project_id)
        tasks = [one.row.task_id for one in found]
        if tasks or row is not None:
            _bring(context, project_id, tasks, row)
        with context.store.begin() as session:
            projects.set_faults(session, project_id, STAGE, [])


def remove_check_tab(context: AppContext, project_id: int) -> list[str]:
    """Deletes the project's tab; its title, if there was one."""
    with context.store.read() as session:
        row = doubts.check_tab(session, project_id)
    if row is None:
        return []
    _remove(context, row, _tabs(context, project_id))
    return [TITLE]


def _bring(
    context: AppContext, project_id: int, tasks: Sequence[int], row: CheckTabRow | None
) -> None:
    client, there = context.label_studio, _tabs(context, project_id)
    tab = _ours(row, there)
    if not tasks:
        if row is not None:
            _remove(context, row, there)
        return
    if tab is None:
        view_id = client.create_queue_tab(project_id, TITLE, tasks, CHECKING)
    else:
        view_id = tab.id
        if not tab.shows(TITLE, tasks, CHECKING):
            client.update_queue_tab(project_id, tab, TITLE, tasks, CHECKING)
    if row is None or row.view_id != view_id:
        with context.store.begin() as session:
            session.merge(CheckTabRow(project_id=project_id, view_id=view_id))


def _ours(row: CheckTabRow | None, there: Mapping[int, Tab]) -> Tab | None:
    """The tab that was made, or one of its title."""
    if row is not None and row.view_id in there:
        return there[row.view_id]
    return next((tab for tab in there.values() if tab.title == TITLE), None)


def _remove(context: AppContext, row: CheckTabRow, there: Mapping[int, Tab]) -> None:
    if row.view_id in there:
        with suppress(MissingError):
            context.label_studio.delete_tab(row.view_id)
    with context.store.begin() as session:
        kept = doubts.check_tab(session, row.project_id)
        if kept is not None:
            session.delete(kept)


def _tabs(context: AppContext, project_id: int) -> dict[int, Tab]:
    return {tab.id: tab for tab in context.label_studio.list_tabs(project_id)}
