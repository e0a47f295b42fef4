"""What the queues of a project stand at, from the store alone."""

from __future__ import annotations

from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.settings import Settings
from backend.store import queues


class TabReport(Report):
    """An annotator's tab: its address, and how much of their batch is left.

    ``left`` tasks wait in it, of ``length`` that were drawn for it; ``strategy`` is what drew them.
    """

    annotator_id: int
    name: str
    title: str
    url: str
    left: int
    length: int
    strategy: str


def tab_reports(context: AppContext, project_id: int) -> tuple[TabReport, ...]:
    """The tabs of a project, by annotator."""
    with context.store.read() as session:
        return tabs_in(session, project_id, context.settings)


def tabs_in(session: Session, project_id: int, settings: Settings) -> tuple[TabReport, ...]:
    """``tab_reports`` within a session."""
    base = (settings.label_studio_url or "").rstrip("/")
    sizes = queues.sizes(session, project_id)
    found = []
    for row in queues.tabs(session, project_id):
        size = sizes.get(row.annotator_id, queues.Size())
        found.append(
            TabReport(
                annotator_id=row.annotator_id,
                name=row.name,
                title=row.title,
                url=f"{base}/projects/{project_id}/data?tab={row.view_id}",
                left=size.left,
                length=size.length,
                strategy=size.strategy,
            )
        )
    return tuple(found)
