"""What a project stands at: labelled, running, waiting, failed and why."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from backend.pipeline import trigger
from backend.pipeline.context import AppContext
from backend.pipeline.control import sentence_of
from backend.pipeline.fold_queue import training_workers
from backend.pipeline.models.report import VersionReport, version_reports
from backend.pipeline.run_report import RunReport, run_report
from backend.store import projects, runs, snapshots, versions
from backend.store.models import ProjectRow
from domain.errors import StackError
from domain.status import TaskState


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProblemReport(_Frozen):
    """Something a person should know."""

    stage: str
    reason: str
    message: str
    task_id: int | None
    created_at: float


class ProjectReport(_Frozen):
    """One project. ``waiting_for`` says what the next training waits for."""

    id: int
    title: str
    tasks: int
    labelled: int
    skipped: int
    unlabelled: int
    champion: str
    waiting_for: str
    synced_at: float | None
    error: str
    runs: tuple[RunReport, ...]
    versions: tuple[VersionReport, ...]
    problems: tuple[ProblemReport, ...]

    @property
    def active_run(self) -> RunReport | None:
        """The run that is not final."""
        return next((run for run in self.runs if not run.status.is_final), None)


class ServiceReport(_Frozen):
    """The queue and the workers; ``error`` is set when Redis does not answer."""

    waiting: dict[str, int]
    workers: tuple[str, ...]
    error: str = ""


def project_report(context: AppContext, project_id: int) -> ProjectReport:
    """Everything about one project; NotConnectedError when nnloop does not know it."""
    try:
        n_workers = training_workers(context.queue)
    except StackError:
        n_workers = 0
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        counts = snapshots.counts(session, project_id)
        champion = versions.champion(session, project_id)
        active = runs.active_run(session, project_id)
        waiting = sentence_of(active) if active else trigger.evaluate(session, project_id).reason
        run_rows = runs.runs_of(session, project_id)
        run_reports = tuple(run_report(session, row, n_workers) for row in run_rows)
        problems = tuple(
            ProblemReport(
                stage=row.stage,
                reason=row.reason,
                message=row.message,
                task_id=row.task_id,
                created_at=row.created_at,
            )
            for row in projects.open_problems(session, project_id)
        )
        return ProjectReport(
            id=project.id,
            title=project.title,
            tasks=sum(counts.values()),
            labelled=counts[TaskState.LABELLED],
            skipped=counts[TaskState.SKIPPED],
            unlabelled=counts[TaskState.UNLABELLED],
            champion=champion.name if champion else "",
            waiting_for=waiting,
            synced_at=project.synced_at,
            error=project.error,
            runs=run_reports,
            versions=version_reports(session, project_id),
            problems=problems,
        )


def all_reports(context: AppContext) -> list[ProjectReport]:
    """Reports of all connected projects."""
    with context.store.begin() as session:
        ids = projects.all_ids(session)
    return [project_report(context, project_id) for project_id in ids]


def find_connected(context: AppContext, project: str) -> int:
    """Id of a connected project by id or title; NotConnectedError when there is none."""
    with context.store.begin() as session:
        if project.isdecimal() and session.get(ProjectRow, int(project)) is not None:
            return int(project)
        for project_id in projects.all_ids(session):
            if session.get_one(ProjectRow, project_id).title == project:
                return project_id
    raise projects.not_connected(project)


def service_report(context: AppContext) -> ServiceReport:
    """The queue and the workers."""
    try:
        return ServiceReport(
            waiting=context.queue.counts(),
            workers=tuple(worker.name for worker in context.queue.workers()),
        )
    except StackError as error:
        return ServiceReport(waiting={}, workers=(), error=f"{error} {error.remedy}")
