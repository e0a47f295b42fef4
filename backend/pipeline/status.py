"""What a project stands at: labelled, running, waiting, failed and why."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import computed_field

from backend.pipeline.basis import embeddings
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.pipeline.doubts.report import count_doubted
from backend.pipeline.folds.queue import training_workers
from backend.pipeline.models.version_report import VersionReport, version_reports
from backend.pipeline.progress.learning import Learning, learning_of
from backend.pipeline.quality.effort import EffortReport, effort_report, seconds_per_label
from backend.pipeline.queues.report import (
    ControlArmReport,
    TabReport,
    control_arm_of,
    tabs_in,
)
from backend.pipeline.runs.control import sentence_of
from backend.pipeline.runs.run_report import RunReport, run_reports
from backend.pipeline.sync import trigger
from backend.queue import ROLES, JobState
from backend.store import projects
from backend.store.tasks import snapshots
from backend.store.training import runs, versions
from domain.errors import StackError
from domain.states import TaskState


class ProblemReport(Report):
    """Something a person should know, and what to do about it."""

    stage: str
    reason: str
    message: str
    remedy: str
    task_id: int | None
    created_at: float


class ProblemGroup(Report):
    """Problems that differ in their tasks only.

    ``message`` has no task in it; parts that differ are ``...``. ``tasks`` are their ids in rising
    order, () for a problem of no task; ``count`` is the number of problems.
    """

    stage: str
    reason: str
    message: str
    remedy: str
    tasks: tuple[int, ...]
    count: int


class ProjectReport(Report):
    """One project.

    ``waiting_for`` says what the next training waits for; ``looked_at`` of how many unlabelled
    images it is known what they look like, while the queues wait for that;
    ``doubtful_labels`` counts those that `nnloop qa` lists; ``control_share`` of each batch is
    drawn by chance.
    """

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
    tabs: tuple[TabReport, ...]
    looked_at: embeddings.LookedAt | None
    control_arm: ControlArmReport | None
    control_share: float
    effort: EffortReport | None
    doubtful_labels: int
    learning: Learning
    problems: tuple[ProblemReport, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def problem_groups(self) -> tuple[ProblemGroup, ...]:
        """The problems, equal ones together, the most frequent first."""
        return grouped(self.problems)

    @property
    def tells_by_chance(self) -> bool:
        """Whether the control arm tells something, or will."""
        return self.control_arm is not None or bool(
            self.champion and self.tabs and self.control_share
        )

    @property
    def active_run(self) -> RunReport | None:
        """The run that is not final."""
        return next((run for run in self.runs if not run.status.is_final), None)


class ServiceReport(Report):
    """The queue and the workers; ``error`` is set when Redis does not answer.

    ``missing_roles`` are those that no live worker has; ``failed`` counts the jobs that failed in
    the last week and were not given again since.
    """

    waiting: dict[str, int]
    failed: int = 0
    workers: tuple[str, ...]
    missing_roles: tuple[str, ...] = ()
    error: str = ""


def project_report(context: AppContext, project_id: int) -> ProjectReport:
    """Everything about one project; NotConnectedError when nnloop does not know it."""
    n_workers = _training_workers(context)
    with context.store.read() as session:
        project = projects.get(session, project_id)
        counts = snapshots.counts(session, project_id)
        champion = versions.champion(session, project_id)
        active = runs.active_run(session, project_id)
        waiting = sentence_of(active) if active else trigger.evaluate(session, project_id).reason
        problems = tuple(
            ProblemReport(
                stage=row.stage,
                reason=row.reason,
                message=row.message,
                remedy=row.remedy,
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
            runs=run_reports(session, project_id, n_workers),
            versions=version_reports(session, project_id),
            tabs=tabs_in(session, project_id, context.settings),
            looked_at=embeddings.under_way(session, project),
            control_arm=control_arm_of(session, project_id),
            control_share=project.settings.control_share,
            effort=effort_report(session, project),
            doubtful_labels=count_doubted(session, project),
            learning=learning_of(
                session, project, seconds_per_label=seconds_per_label(session, project_id)
            ),
            problems=problems,
        )


def reports_of_runs(
    context: AppContext, project_id: int, *, number: int | None = None
) -> tuple[RunReport, ...]:
    """The newest runs of a project, newest first, or the one of a number.

    Raises:
        NotConnectedError: nnloop does not know the project.
    """
    n_workers = _training_workers(context)
    with context.store.read() as session:
        projects.get(session, project_id)
        return run_reports(session, project_id, n_workers, number=number)


def _training_workers(context: AppContext) -> int:
    try:
        return training_workers(context.queue)
    except StackError:
        return 0  # what the store says can be reported without Redis


def all_reports(context: AppContext) -> list[ProjectReport]:
    """Reports of all connected projects."""
    with context.store.read() as session:
        ids = projects.all_ids(session)
    return [project_report(context, project_id) for project_id in ids]


def service_report(context: AppContext) -> ServiceReport:
    """The queue and the workers."""
    try:
        if context.queue.is_of_others():
            return ServiceReport(waiting={}, workers=(), error=_OF_OTHERS)
        workers = context.queue.workers()
        served = {queue for worker in workers for queue in worker.queues}
        return ServiceReport(
            waiting=context.queue.counts(),
            failed=sum(job.state == JobState.FAILED for job in context.queue.jobs()),
            workers=tuple(worker.name for worker in workers),
            missing_roles=tuple(
                role for role, queues in ROLES.items() if not served & set(map(str, queues))
            ),
        )
    except StackError as error:
        return ServiceReport(waiting={}, workers=(), error=error.in_full)


_OF_OTHERS = (
    "The web service and the workers at this Redis use another data folder than this command, so "
    "they see other projects. Name theirs: NNLOOP_DATA_DIR or --data-dir."
)

# Whatever stands in quotes, and numbers, may differ between problems that are otherwise the same.
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*://\S+|\b\d[\d.,x]*\b")
_OF_TASK = re.compile(r"^Task \d+: ")


def grouped(problems: Sequence[ProblemReport]) -> tuple[ProblemGroup, ...]:
    """Equal problems together, the most frequent first; of as many, the newest first."""
    alike: dict[tuple[str, str, str, str], list[ProblemReport]] = {}
    for one in problems:
        text = _OF_TASK.sub("", one.message) if one.task_id is not None else one.message
        same = _VARIES.sub("...", text) if one.task_id is not None else text
        alike.setdefault((one.stage, one.reason, one.remedy, same), []).append(one)
    groups = [
        ProblemGroup(
            stage=stage,
            reason=reason,
            message=_in_common([_OF_TASK.sub("", one.message) for one in members]),
            remedy=remedy,
            tasks=tuple(sorted({one.task_id for one in members if one.task_id is not None})),
            count=len(members),
        )
        for (stage, reason, remedy, _), members in alike.items()
    ]
    return tuple(sorted(groups, key=lambda group: -group.count))


def _in_common(messages: Sequence[str]) -> str:
    """A message in which every part that is not the same in all is ``...``."""
    parts = [_VARIES.findall(message) for message in messages]
    if len({len(one) for one in parts}) != 1:
        return messages[0]
    shown = iter(same[0] if len(set(same)) == 1 else "..." for same in zip(*parts, strict=True))
    return _VARIES.sub(lambda _: next(shown), messages[0])
