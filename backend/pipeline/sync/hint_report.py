"""What webhooks came, and what nnloop did because of each."""

from __future__ import annotations

from backend.pipeline.basis.connected import find_connected
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.store import hints, projects
from backend.store.models import InboxRow, ProjectRow
from domain.errors import NotConnectedError
from domain.text import one_line

_ERROR_LENGTH = 200


class HintReport(Report):
    """One webhook, or what a person or an annotator's page asked for.

    ``tasks`` are the ids it named; ``handled_at`` is None as long as it waits, and ``decision``
    then says what for. Times are seconds since the epoch.
    """

    id: int
    project: int
    title: str
    action: str
    tasks: tuple[int, ...]
    received_at: float
    handled_at: float | None
    decision: str


class UnconnectedReport(Report):
    """A project that is not connected and sends webhooks: how many are kept, when the newest."""

    project: int
    hints: int
    newest_at: float


def hint_reports(context: AppContext, project: str, limit: int) -> tuple[HintReport, ...]:
    """The newest hints, newest first.

    Args:
        context: The process's context.
        project: Id or title of a connected project, or the id of one that is not but has sent
            webhooks; "" for all.
        limit: Most hints.

    Raises:
        NotConnectedError: nnloop does not know the project, and nothing of it came.
        SettingsError: Several have this title.
    """
    project_id = _find(context, project) if project else None
    with context.store.read() as session:
        rows = hints.newest(session, project_id, limit)
        known = {i: session.get(ProjectRow, i) for i in {row.project_id for row in rows}}
        halted = projects.halted(session)
        return tuple(_report(row, known[row.project_id], halted) for row in rows)


def unconnected_reports(context: AppContext) -> tuple[UnconnectedReport, ...]:
    """The projects that are not connected and have sent webhooks."""
    with context.store.read() as session:
        return tuple(
            UnconnectedReport(project=one.project_id, hints=one.n, newest_at=one.newest)
            for one in hints.unconnected(session)
        )


def _find(context: AppContext, project: str) -> int:
    try:
        return find_connected(context, project)
    except NotConnectedError:
        with context.store.read() as session:
            for one in hints.unconnected(session):
                if str(one.project_id) == project:
                    return one.project_id
        raise


def _report(row: InboxRow, project: ProjectRow | None, halted: set[int]) -> HintReport:
    decision = row.decision
    if row.handled_at is None:
        decision = _waits_for(project, row.project_id in halted)
    return HintReport(
        id=row.id,
        project=row.project_id,
        title=project.title if project is not None else "",
        action=row.action,
        tasks=tuple(row.task_ids),
        received_at=row.received_at,
        handled_at=row.handled_at,
        decision=decision or "read",  # before decisions were kept
    )


def _waits_for(project: ProjectRow | None, is_halted: bool) -> str:
    if is_halted:
        return "waits: nothing is done for the project now (nnloop status says why)"
    if project is not None and project.error:
        return f"waits: {one_line(project.error, _ERROR_LENGTH)}"
    return "waits for the next reading"
