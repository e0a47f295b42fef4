"""The jobs in the queue, in a person's words, and what a person can do about one."""

from __future__ import annotations

from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.pipeline.runs import control
from backend.queue import JobInfo, JobName, JobState
from backend.store.models import ProjectRow, RunRow
from domain.errors import StackError
from domain.text import one_line

_DOES = {
    JobName.SYNC: "reads Label Studio",
    JobName.ADVANCE: "moves a run on",
    JobName.PUBLISH: "pushes predictions",
    JobName.FILL: "fills queues",
    JobName.CHECK: "fills 'Check these labels'",
    JobName.PUSH: "pushes new predictions",
    JobName.NOTIFY: "tells how trainings ended",
    JobName.SCORE: "predicts the pool",
    JobName.PREDICT: "predicts an opened task",
    JobName.EMBED: "looks at images",
    JobName.TRAIN_FOLD: "trains a fold",
}
_OF_RUNS = (JobName.ADVANCE, JobName.TRAIN_FOLD)


class JobReport(Report):
    """One job.

    ``does`` says what it is for, ``project`` is the project's title or id, "" where it is not
    known; ``since`` is in seconds since the epoch.
    """

    id: str
    does: str
    project: str
    state: JobState
    since: float | None
    worker: str
    cause: str


def job_reports(context: AppContext) -> list[JobReport]:
    """All jobs that wait, run or have failed in the last week.

    Raises:
        StackError: Redis does not answer.
    """
    found = context.queue.jobs()
    with context.store.read() as session:
        return [_report(session, job) for job in found]


def retry_job(context: AppContext, job_id: str) -> None:
    """Gives a job that failed, or whose worker has died, again at once.

    Raises:
        StackError: There is no such job, it waits or runs, or Redis does not answer.
    """
    if not context.queue.retry(job_id):
        raise StackError(
            f"{job_id!r} is no job that failed.", remedy="See which there are: nnloop jobs"
        )


def cancel_job(context: AppContext, job_id: str) -> str:
    """Cancels the run that a job works for; a sentence that says so.

    Raises:
        StackError: There is no such job, or it is of no run: what its project still needs would
            be given again.
    """
    job = next((job for job in context.queue.jobs() if job.id == job_id), None)
    if job is None:
        raise StackError(f"There is no job {job_id!r}.", remedy="See which there are: nnloop jobs")
    if job.name not in _OF_RUNS or not job.ids:
        raise StackError(
            f"{job_id} is no job of a training: what its project needs is given again.",
            remedy="Trainings can be cancelled; a whole project is taken out by "
            "`nnloop disconnect PROJECT`.",
        )
    with context.store.read() as session:
        run = session.get(RunRow, job.ids[0])
    if run is None:
        raise StackError(f"The run of {job_id} is not known here.")
    control.cancel(context, run.project_id)
    return f"Run {run.number} of project {run.project_id} is being cancelled."


def _report(session: Session, job: JobInfo) -> JobReport:
    project_id = job.ids[0] if job.ids else None
    does = "of another release" if job.name is None else _DOES[job.name]
    if job.name in _OF_RUNS and job.ids:
        run = session.get(RunRow, job.ids[0])
        project_id = None if run is None else run.project_id
        number = "" if run is None else f" {run.number}"
        fold = f"trains fold {job.ids[1]} of" if job.name == JobName.TRAIN_FOLD else "moves on"
        does = f"{fold} run{number}"
    project = None if project_id is None else session.get(ProjectRow, project_id)
    title = "" if project_id is None else str(project_id)
    return JobReport(
        id=job.id,
        does=does,
        project=one_line(project.title, 40) if project is not None and project.title else title,
        state=job.state,
        since=job.since,
        worker=job.worker,
        cause=job.cause,
    )
