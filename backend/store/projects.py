"""Connected projects and the hints and problems that belong to them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.models import InboxRow, ProblemRow, ProjectRow
from domain.annotation import LeftOut
from domain.errors import NotConnectedError
from domain.text import one_line

START_TRAINING = "START_TRAINING"

OTHER_PROJECT = "OTHER_PROJECT"
"""Kept instead of the action of a webhook of a project that took the id of a connected one."""

CONNECTION = "connection"
"""Stage of the problems that say what is wrong between nnloop and Label Studio."""

GONE, REPLACED, LEAVING = "project_gone", "project_replaced", "disconnecting"
"""Reasons of that stage that halt a project."""

RUN_FAILED = "run_failed"
"""Reason of the problem of a run that failed; its stage is ``run``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a project or a task of it, and what to do."""

    reason: str
    message: str
    remedy: str = ""


PROBLEM_LENGTH = 1_000
"""Characters of a problem's message and of its remedy."""


def get(session: Session, project_id: int) -> ProjectRow:
    """The project's row; NotConnectedError when nnloop does not know it."""
    row = session.get(ProjectRow, project_id)
    if row is None:
        raise not_connected(str(project_id))
    return row


def seconds_of(created_at: object) -> int | None:
    """Label Studio's text of a time in whole seconds since the epoch; None when it is none."""
    try:
        return int(datetime.fromisoformat(str(created_at)).timestamp())
    except ValueError:
        return None


def find_same(session: Session, project_id: int, created: int | None) -> ProjectRow | None:
    """The project of an id, unless it was made at another time than the one that is connected.

    Args:
        session: Of the store.
        project_id: Label Studio's.
        created: Whole seconds since the epoch; None where they are not known.
    """
    row = session.get(ProjectRow, project_id)
    known = seconds_of(row.created_at) if row is not None else None
    return None if known is not None and created is not None and known != created else row


def lock(session: Session, project_id: int) -> None:
    """Lets no other transaction that locks the project go on before this one has ended.

    For what is looked up first and written then. SQLite needs none: its transactions never overlap.
    """
    session.execute(select(ProjectRow.id).where(ProjectRow.id == project_id).with_for_update())


def not_connected(project: str) -> NotConnectedError:
    """The error for a project that nnloop does not know."""
    return NotConnectedError(
        f"Project {project!r} is not connected to nnloop.",
        remedy=f"Connect it: nnloop connect {shlex.quote(project)}",
    )


def all_ids(session: Session) -> list[int]:
    """Ids of all connected projects."""
    return list(session.scalars(select(ProjectRow.id).order_by(ProjectRow.id)))


def add_hint(
    session: Session,
    project_id: int,
    action: str,
    task_ids: Sequence[int],
    overrides: Mapping[str, Any] | None = None,
    decision: str = "",
) -> None:
    """Stores a webhook's hint, or a person's request with the settings given for it.

    With a ``decision`` it is handled by that: nobody will read anything because of it.
    """
    session.add(
        InboxRow(
            project_id=project_id,
            action=action[:64],
            task_ids=list(task_ids),
            overrides=dict(overrides or {}),
            handled_at=clock.now() if decision else None,
            decision=decision,
        )
    )


def open_hints(session: Session) -> list[tuple[int, float]]:
    """(project id, time of the newest hint) of connected projects with unhandled hints."""
    query = (
        select(InboxRow.project_id, func.max(InboxRow.received_at))
        .join(ProjectRow, ProjectRow.id == InboxRow.project_id)
        .where(InboxRow.handled_at.is_(None))
        .group_by(InboxRow.project_id)
    )
    return [(project_id, newest) for project_id, newest in session.execute(query)]


def training_request(session: Session, project_id: int) -> dict[str, Any] | None:
    """The settings given with the newest open request for a training; None without a request."""
    query = select(InboxRow.overrides).where(
        InboxRow.project_id == project_id,
        InboxRow.action == START_TRAINING,
        InboxRow.handled_at.is_(None),
    )
    return session.scalar(query.order_by(InboxRow.id.desc()).limit(1))


def newest_hint_id(session: Session, project_id: int) -> int:
    """Id of a project's newest hint that is not handled; 0 without one."""
    query = select(func.max(InboxRow.id)).where(
        InboxRow.project_id == project_id, InboxRow.handled_at.is_(None)
    )
    return session.scalar(query) or 0


def hinted_tasks(session: Session, project_id: int, up_to_id: int) -> set[int]:
    """The tasks that a project's open hints up to an id tell of."""
    query = select(InboxRow.task_ids).where(
        InboxRow.project_id == project_id,
        InboxRow.id <= up_to_id,
        InboxRow.handled_at.is_(None),
    )
    return {task_id for task_ids in session.scalars(query) for task_id in task_ids}


def is_project_hinted(session: Session, project_id: int, up_to_id: int) -> bool:
    """Whether an open hint up to an id tells of no task: of the project itself, perhaps."""
    query = select(InboxRow.task_ids).where(
        InboxRow.project_id == project_id,
        InboxRow.id <= up_to_id,
        InboxRow.handled_at.is_(None),
    )
    return any(not task_ids for task_ids in session.scalars(query))


def close_hints(session: Session, project_id: int, up_to_id: int, decision: str = "") -> None:
    """Marks the hints up to an id as handled, for all of them with what was done."""
    session.execute(
        update(InboxRow)
        .where(
            InboxRow.project_id == project_id,
            InboxRow.id <= up_to_id,
            InboxRow.handled_at.is_(None),
        )
        .values(handled_at=clock.now(), decision=decision)
    )


def set_faults(session: Session, project_id: int, stage: str, faults: Sequence[Fault]) -> None:
    """Makes the open problems of a stage those given; known ones stay, others are closed."""
    query = select(ProblemRow).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == stage,
        ProblemRow.resolved_at.is_(None),
    )
    wanted = {(fault.reason, fault.message) for fault in faults}
    for row in session.scalars(query):
        if (row.reason, row.message) not in wanted:
            row.resolved_at = clock.now()
    session.flush()
    for fault in faults:
        add_fault(session, project_id, stage, fault)


def add_fault(session: Session, project_id: int, stage: str, fault: Fault) -> None:
    """Opens a problem, unless the same one is open."""
    query = select(ProblemRow.id).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == stage,
        ProblemRow.reason == fault.reason,
        ProblemRow.message == fault.message,
        ProblemRow.resolved_at.is_(None),
    )
    if session.scalar(query.limit(1)) is None:
        session.add(
            ProblemRow(
                project_id=project_id,
                stage=stage,
                reason=fault.reason,
                message=fault.message,
                remedy=fault.remedy,
            )
        )


def halted(session: Session) -> set[int]:
    """Ids of projects that Label Studio has no more, or that are being disconnected.

    Nothing is trained, pushed or predicted for them.
    """
    query = select(ProblemRow.project_id).where(
        ProblemRow.stage == CONNECTION,
        ProblemRow.reason.in_((GONE, REPLACED, LEAVING)),
        ProblemRow.resolved_at.is_(None),
    )
    return set(session.scalars(query))


def in_lines(fault: Fault) -> Fault:
    """The fault with each of its texts in one line that a problem's row has room for."""
    message, remedy = (one_line(text, PROBLEM_LENGTH) for text in (fault.message, fault.remedy))
    return Fault(fault.reason, message, remedy)


def report_problem(
    session: Session,
    project_id: int,
    stage: str,
    fault: Fault,
    *,
    task_id: int | None = None,
    run_id: int | None = None,
) -> None:
    """Records a problem once: the same open problem is not repeated. Texts become one line."""
    fault = in_lines(fault)
    known = session.scalar(
        select(ProblemRow.id).where(
            ProblemRow.project_id == project_id,
            ProblemRow.resolved_at.is_(None),
            ProblemRow.stage == stage,
            ProblemRow.task_id.is_(task_id) if task_id is None else ProblemRow.task_id == task_id,
            ProblemRow.message == fault.message,
        )
    )
    if known is None:
        session.add(
            ProblemRow(
                project_id=project_id,
                stage=stage,
                reason=fault.reason,
                message=fault.message,
                remedy=fault.remedy,
                task_id=task_id,
                run_id=run_id,
            )
        )


def replace_problems(
    session: Session, project_id: int, stage: str, run_id: int, left_out: Sequence[LeftOut]
) -> None:
    """Makes the open problems of a stage those given, in two statements; known ones stay."""
    query = select(ProblemRow).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == stage,
        ProblemRow.resolved_at.is_(None),
    )
    known = {(row.task_id, row.message): row for row in session.scalars(query)}
    wanted = {(item.task_id, one_line(item.message, PROBLEM_LENGTH)): item for item in left_out}
    now = clock.now()
    for key in known.keys() - wanted.keys():
        known[key].resolved_at = now
    session.add_all(
        ProblemRow(
            project_id=project_id,
            stage=stage,
            reason=item.reason,
            message=key[1],
            remedy=one_line(item.remedy, PROBLEM_LENGTH),
            task_id=item.task_id,
            run_id=run_id,
        )
        for key, item in wanted.items()
        if key not in known
    )


def resolve_problems(
    session: Session,
    project_id: int,
    stage: str,
    *,
    task_id: int | None = None,
    reason: str | None = None,
) -> None:
    """Closes the open problems of a stage (of one task, of one reason, if given)."""
    query = update(ProblemRow).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == stage,
        ProblemRow.resolved_at.is_(None),
    )
    if task_id is not None:
        query = query.where(ProblemRow.task_id == task_id)
    if reason is not None:
        query = query.where(ProblemRow.reason == reason)
    session.execute(query.values(resolved_at=clock.now()))


def has_open_problem(session: Session, project_id: int, stage: str) -> bool:
    """Whether a problem of a stage is open."""
    query = select(ProblemRow.id).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == stage,
        ProblemRow.resolved_at.is_(None),
    )
    return session.scalar(query.limit(1)) is not None


def open_problems(session: Session, project_id: int, limit: int = 10_000) -> list[ProblemRow]:
    """Open problems, newest first."""
    query = (
        select(ProblemRow)
        .where(ProblemRow.project_id == project_id, ProblemRow.resolved_at.is_(None))
        .order_by(ProblemRow.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))
