from __future__ import annotations

import pytest

from backend.pipeline.runs.jobs import cancel_job, job_reports, retry_job
from backend.queue import JobInfo, JobName, JobState
from domain.errors import StackError
from domain.states import RunControl, RunStatus
from tests.fakes.app import FakeApp


def test_jobs_are_told_in_words(app: FakeApp) -> None:
    run = app.add_run(RunStatus.TRAINING, 4)
    app.queue.listed = [
        JobInfo("sync-1", JobName.SYNC, (1,), JobState.FAILED, 5.0, "loop-a", "OSError: full"),
        JobInfo(f"train_fold-{run}-2", JobName.TRAIN_FOLD, (run, 2), JobState.RUNNING, 1.0, "t"),
        JobInfo("train_fold-99-0", JobName.TRAIN_FOLD, (99, 0), JobState.WAITING, None, ""),
        JobInfo("sync-77", JobName.SYNC, (77,), JobState.WAITING, None, ""),
        JobInfo("gone", None, (), JobState.WAITING, None, ""),
    ]
    found = [(job.does, job.project) for job in job_reports(app.context)]
    assert found == [
        ("reads Label Studio", "Carotid"),
        ("trains fold 2 of run 4", "Carotid"),
        ("trains fold 0 of run", ""),
        ("reads Label Studio", "77"),
        ("of another release", ""),
    ]


def test_every_job_has_words(app: FakeApp) -> None:
    app.queue.listed = [JobInfo(n, n, (1, 0), JobState.WAITING, None, "") for n in JobName]
    assert all(job.does for job in job_reports(app.context))


def test_cancelling_a_job_cancels_its_run(app: FakeApp) -> None:
    run = app.add_run(RunStatus.TRAINING, 4)
    job = JobInfo(f"train_fold-{run}-2", JobName.TRAIN_FOLD, (run, 2), JobState.WAITING, 1.0, "")
    sync = JobInfo("sync-1", JobName.SYNC, (1,), JobState.WAITING, 1.0, "")
    app.queue.listed = [job, sync]
    assert "Run 4" in cancel_job(app.context, job.id)
    assert app.run(run).control == RunControl.CANCEL
    with pytest.raises(StackError, match="given again"):
        cancel_job(app.context, "sync-1")
    for name in ("", "sync-2"):
        with pytest.raises(StackError, match="There is no job"):
            cancel_job(app.context, name)
        with pytest.raises(StackError, match="is no job that failed"):
            retry_job(app.context, name)
