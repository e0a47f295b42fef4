"""Tabs: brings Label Studio's Data Manager to what the queues say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from backend.label_studio.views import Tab
from backend.pipeline.basis.context import AppContext
from backend.pipeline.queues.annotators import Annotator
from backend.store.tasks import queues
from backend.store.tasks.queues import QueueTabRow
from domain.errors import MissingError


def bring_tabs(
    context: AppContext,
    project_id: int,
    annotators: Sequence[Annotator],
    tasks: Mapping[int, Collection[int]],
) -> None:
    """Makes each annotator's tab list their tasks, and takes the others' away.

    A tab that a person deleted is made again, one that a person changed is put right; nothing is
    sent where nothing differs.

    Args:
        context: The process's context.
        project_id: A connected project.
        annotators: Who has a tab.
        tasks: Task ids by annotator; who is missing has none.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    client = context.label_studio
    with context.store.read() as session:
        known = {row.annotator_id: row for row in queues.tabs(session, project_id)}
    there = {tab.id: tab for tab in client.list_tabs(project_id)}
    for annotator in sorted(annotators, key=lambda one: one.id):
        wanted = tasks.get(annotator.id, ())
        row = known.get(annotator.id)
        # One of the title may be that of a namesake who leaves, and goes below.
        taken = {one.view_id for i, one in known.items() if i != annotator.id}
        tab = _tab_of(annotator, row, {i: one for i, one in there.items() if i not in taken})
        if tab is None:
            view_id = client.create_queue_tab(project_id, annotator.title, wanted)
        else:
            view_id = tab.id
            if not tab.shows(annotator.title, wanted):
                client.update_queue_tab(project_id, tab, annotator.title, wanted)
        found = (annotator.name, annotator.title, view_id)
        if row is None or (row.name, row.title, row.view_id) != found:
            _keep(context, project_id, annotator, view_id)
    gone = [row for annotator_id, row in known.items() if annotator_id not in _ids(annotators)]
    for row in gone:
        remove_tab(context, row, there)


def _tab_of(annotator: Annotator, row: QueueTabRow | None, there: Mapping[int, Tab]) -> Tab | None:
    """The annotator's tab: the one that was made for them, or one of its title."""
    if row is not None and row.view_id in there:
        return there[row.view_id]
    return next((tab for tab in there.values() if tab.title == annotator.title), None)


def remove_tab(context: AppContext, row: QueueTabRow, there: Collection[int]) -> None:
    """Deletes a tab in Label Studio, if it is still there, and forgets it."""
    if row.view_id in there:
        with suppress(MissingError):
            context.label_studio.delete_tab(row.view_id)
    with context.store.begin() as session:
        found = session.get(QueueTabRow, (row.project_id, row.annotator_id))
        if found is not None:
            session.delete(found)


def remove_tabs(context: AppContext, project_id: int) -> list[str]:
    """Deletes the tabs of a project; their titles."""
    with context.store.read() as session:
        rows = queues.tabs(session, project_id)
    if not rows:
        return []
    there = {tab.id for tab in context.label_studio.list_tabs(project_id)}
    for row in rows:
        remove_tab(context, row, there)
    return [row.title for row in rows]


def _keep(context: AppContext, project_id: int, annotator: Annotator, view_id: int) -> None:
    with context.store.begin() as session:
        session.merge(
            QueueTabRow(
                project_id=project_id,
                annotator_id=annotator.id,
                name=annotator.name,
                title=annotator.title,
                view_id=view_id,
            )
        )


def _ids(annotators: Sequence[Annotator]) -> set[int]:
    return {annotator.id for annotator in annotators}
