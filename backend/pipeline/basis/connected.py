"""Connected projects by their id or title."""

from __future__ import annotations

from sqlalchemy import select

from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.models import ProjectRow
from domain.errors import SettingsError


def find_connected(context: AppContext, project: str) -> int:
    """Id of a connected project by id or title.

    Raises:
        NotConnectedError: There is none.
        SettingsError: Several have this title.
    """
    with context.store.read() as session:
        if project.isdecimal() and session.get(ProjectRow, int(project)) is not None:
            return int(project)
        query = select(ProjectRow.id).where(ProjectRow.title == project).order_by(ProjectRow.id)
        ids = list(session.scalars(query))
    if len(ids) > 1:
        raise SettingsError(
            f"{len(ids)} connected projects are called {project!r}.",
            remedy=f"Give the id of the one you mean: {', '.join(map(str, ids))}.",
        )
    if not ids:
        raise projects.not_connected(project)
    return ids[0]
