"""GET /versions: names of model versions."""

from __future__ import annotations

import time

from fastapi import HTTPException, Request
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.training.versions import champion, versions_of
from backend.web.door import PROJECT
from backend.web.protocol import VersionsAnswer, project_id_of
from backend.web.waiting import in_thread

# Label Studio waits 3 s.
LIMIT_S = 2.5


async def versions(request: Request, project: str = "") -> VersionsAnswer:
    """Names of the project's versions, champion first.

    Of the project that ``?project=`` names, else of the one whose backend asks: Label Studio
    1.23.2 sends no project, but the login that `nnloop connect` gave it. Without either of all.
    """
    context: AppContext = request.app.state.context
    try:
        project_id = project_id_of(project) if project else getattr(request.state, PROJECT)
    except ValueError as error:
        raise HTTPException(422, f"?project= {error}.") from error
    names = await in_thread(time.monotonic() + LIMIT_S, _names, context, project_id)
    return VersionsAnswer(versions=names)


def _names(context: AppContext, project_id: int | None) -> list[str]:
    with context.store.read() as session:
        if project_id is not None:
            return _names_of(session, projects.get(session, project_id).id)
        found = [_names_of(session, known) for known in projects.all_ids(session)]
        # Versions of two projects may share a name.
        return list(dict.fromkeys(name for names in found for name in names))


def _names_of(session: Session, project_id: int) -> list[str]:
    serving = champion(session, project_id)
    newest_first = reversed(versions_of(session, project_id))
    names = [version.name for version in newest_first]
    return [serving.name, *(n for n in names if n != serving.name)] if serving else names
