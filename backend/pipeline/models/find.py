"""Finds a version by the name people use."""

from __future__ import annotations

from sqlalchemy.orm import Session

from backend.pipeline.basis.connected import find_connected
from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from domain.errors import SettingsError


def find_project(context: AppContext, project: str | None) -> int:
    """Id of the project meant; without a name, of the only one.

    Raises:
        NotConnectedError: No project of this id or title is connected.
        SettingsError: None was named, and there is not exactly one.
    """
    if project is not None:
        return find_connected(context, project)
    with context.store.begin() as session:
        ids = projects.all_ids(session)
    if len(ids) != 1:
        raise SettingsError(
            f"{len(ids)} projects are connected to nnloop, and none was named.",
            remedy="Name one: --project NAME." if ids else "Connect one: nnloop connect PROJECT.",
        )
    return ids[0]


def find_version(session: Session, name: str, project_id: int | None = None) -> VersionRow:
    """The version of this name.

    Args:
        session: A session of the store.
        name: Its name, as in Label Studio's ``model_version``.
        project_id: Its project; None: any, as long as one project alone has such a version.

    Raises:
        SettingsError: There is none, or several projects have one.
    """
    found = versions.by_name(session, name, project_id)
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(str(row.project_id) for row in found)
        raise SettingsError(
            f"Projects {ids} each have a version {name!r}.", remedy="Name one: --project ID."
        )
    raise SettingsError(
        f"There is no version {name!r}.", remedy="`nnloop models list` names all versions."
    )
