"""What a project stands at: labelled, running, waiting, failed and why."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from backend.pipeline import trigger
from backend.pipeline.context import AppContext
from backend.store import predictions, projects, runs, snapshots
from backend.store.models import ProjectRow, RunRow
from domain.errors import StackError
from domain.status import RunStatus, TaskState, VersionStatus


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class FoldReport(_Frozen):
    """One fold's progress; ``dice`` is nnU-Net's pseudo Dice while it trains."""

    fold: int
    status: str
    epoch: int
    epochs: int
    train_loss: float | None
    dice: float | None
    device: str
    attempts: int
    error: str


class RunReport(_Frozen):
    """One training run. ``seconds`` is the time spent per finished stage."""

    id: int
    number: int
    status: RunStatus
    trigger: str
    labels: int
    left_out: int
    error: str
    seconds: dict[str, float]
    created_at: float
    finished_at: float | None
    folds: tuple[FoldReport, ...]


class VersionReport(_Frozen):
    """One model version, with the gate's numbers."""

    name: str
    status: VersionStatus
    run: int
    labels: int
    oof_dice: dict[str, float]
    gate: str
    scored: int
    published: int
    failed: int
    promoted_at: float | None
    published_at: float | None


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
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        counts = snapshots.counts(session, project_id)
        champion = runs.champion(session, project_id)
        active = runs.active_run(session, project_id)
        waiting = (
            f"run {active.number} is {active.status}"
            if active
            else trigger.evaluate(session, project_id).reason
        )
        run_rows = runs.runs_of(session, project_id)
        run_reports = tuple(
            _run(row, tuple(_fold(f) for f in runs.folds_of(session, row.id))) for row in run_rows
        )
        numbers = {row.id: row.number for row in run_rows}
        versions = []
        for version in runs.versions_of(session, project_id):
            scored, published, failed = predictions.counts(session, version.id)
            versions.append(
                VersionReport(
                    name=version.name,
                    status=VersionStatus(version.status),
                    run=numbers.get(version.run_id, 0),
                    labels=version.metrics.get("labels", 0),
                    oof_dice=version.metrics.get("oof_dice", {}),
                    gate=version.metrics.get("gate", {}).get("reason", ""),
                    scored=scored,
                    published=published,
                    failed=failed,
                    promoted_at=version.promoted_at,
                    published_at=version.published_at,
                )
            )
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
            versions=tuple(versions),
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


def _run(row: RunRow, folds: tuple[FoldReport, ...]) -> RunReport:
    manifest = row.manifest or {}
    return RunReport(
        id=row.id,
        number=row.number,
        status=RunStatus(row.status),
        trigger=row.trigger,
        labels=len(manifest.get("entries", [])),
        left_out=len(manifest.get("left_out", [])),
        error=row.error,
        seconds=row.seconds,
        created_at=row.created_at,
        finished_at=row.finished_at,
        folds=folds,
    )


def _fold(row: object) -> FoldReport:
    return FoldReport.model_validate(row, from_attributes=True)
