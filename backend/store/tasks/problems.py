"""The one open problem of a task, or of work on a whole project, at one stage."""

from __future__ import annotations

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from backend.store import clock, projects
from backend.store.models import ProblemRow, RunRow, TaskRow
from domain.states import TaskState


def tell(
    session: Session,
    project_id: int,
    stage: str,
    fault: projects.Fault,
    *,
    task_id: int | None = None,
) -> None:
    """Makes a problem the only open one of its task at a stage (without a task: of its reason).

    One that is open already stays as it is, so that it keeps its time.
    """
    fault = projects.in_lines(fault)
    others = update(ProblemRow).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == stage,
        ProblemRow.resolved_at.is_(None),
        or_(ProblemRow.message != fault.message, ProblemRow.remedy != fault.remedy),
    )
    if task_id is None:
        others = others.where(ProblemRow.task_id.is_(None), ProblemRow.reason == fault.reason)
    else:
        others = others.where(ProblemRow.task_id == task_id)
    session.execute(others.values(resolved_at=clock.now()))
    projects.report_problem(session, project_id, stage, fault, task_id=task_id)


def close_unprepared(session: Session, project_id: int) -> None:
    """Closes the failures of runs that had no cases yet: what was wrong then is mended."""
    never = select(RunRow.id).where(RunRow.project_id == project_id, RunRow.manifest.is_(None))
    session.execute(
        update(ProblemRow)
        .where(
            ProblemRow.project_id == project_id,
            ProblemRow.resolved_at.is_(None),
            ProblemRow.reason == projects.RUN_FAILED,
            ProblemRow.run_id.in_(never),
        )
        .values(resolved_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def close_settled(session: Session, project_id: int) -> None:
    """Closes the problems of tasks that are gone, or are no more at the stage that had them.

    A task that was labelled is not predicted any more; one whose annotations were deleted is left
    out of no training.
    """
    tasks = select(TaskRow.id).where(TaskRow.project_id == project_id)
    is_unlabelled = TaskRow.state == TaskState.UNLABELLED
    settled = (
        (("score", "publish", "prepare"), TaskRow.removed_at.is_not(None)),
        (("score", "publish"), ~is_unlabelled),
        (("prepare",), is_unlabelled),
    )
    for stages, is_over in settled:
        session.execute(
            update(ProblemRow)
            .where(
                ProblemRow.project_id == project_id,
                ProblemRow.resolved_at.is_(None),
                ProblemRow.stage.in_(stages),
                ProblemRow.task_id.in_(tasks.where(is_over)),
            )
            .values(resolved_at=clock.now())
            .execution_options(synchronize_session=False)
        )
