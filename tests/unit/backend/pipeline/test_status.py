from __future__ import annotations

import time

import pytest

from backend.pipeline import status
from backend.pipeline.basis.context import AppContext
from backend.queue import JobQueue
from backend.store import projects
from backend.store.models import FoldRow, PredictionRow
from domain.case import Manifest, ManifestEntry
from domain.gate_verdict import Verdict
from domain.states import FoldStatus, RunStatus, TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from training.versions.metrics import VersionMetrics


def test_a_new_project(app: FakeApp) -> None:
    report = status.project_report(app.context, PROJECT)
    assert (report.tasks, report.champion, report.runs, report.versions) == (0, "", (), ())
    assert report.waiting_for == "0 of 10 annotations, 10 more needed"
    assert report.active_run is None


def test_what_is_labelled_runs_and_failed(app: FakeApp) -> None:
    gate = Verdict(True, 0.9, None, 2, 0.01, "not worse")
    metrics = VersionMetrics(labels=12, oof_dice={"lumen": 0.9}, gate=gate)
    version = app.add_version(1, metrics=metrics)
    app.add_tasks(1, 2)
    app.add_tasks(3, state=TaskState.LABELLED)
    app.add_tasks(4, state=TaskState.SKIPPED)
    entry = ManifestEntry("task_1", 1, 1, "h", "g", 0)
    run_id = app.add_run(
        RunStatus.TRAINING, 2, error="once", manifest=run_manifest(Manifest((entry, entry)))
    )
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.RUNNING, epoch=3, epochs=20))
        for task_id, error in ((1, ""), (2, "bad")):
            session.add(
                PredictionRow(project_id=PROJECT, task_id=task_id, version_id=version, error=error)
            )
        projects.report_problem(
            session,
            PROJECT,
            "score",
            projects.Fault("task", "Task 2: bad"),
            task_id=2,
        )
    report = status.project_report(app.context, PROJECT)
    assert (report.tasks, report.unlabelled, report.labelled, report.skipped) == (4, 2, 1, 1)
    assert report.waiting_for == "Run 2 is training."
    assert report.champion == "nnloop-v1"
    active = report.active_run
    assert active is not None and (active.number, active.labels) == (2, 2)
    assert [(fold.fold, fold.epoch, fold.epochs) for fold in active.folds] == [(0, 3, 20)]
    (row,) = report.versions
    assert (row.run, row.labels, row.oof_dice, row.gate) == (1, 12, {"lumen": 0.9}, "not worse")
    assert (row.scored, row.published, row.failed) == (2, 0, 1)
    assert [problem.message for problem in report.problems] == ["Task 2: bad"]
    (again,) = status.all_reports(app.context)
    assert [run.number for run in again.runs] == [run.number for run in report.runs]
    # Their seconds go on meanwhile.
    assert again.model_copy(update={"runs": report.runs}) == report


def test_without_redis_the_rest_is_still_reported(app: FakeApp) -> None:
    context = AppContext(app.context.settings, app.store, JobQueue(""))
    report = status.service_report(context)
    assert report.waiting == {} and "nnloop up" in report.error
    assert status.project_report(context, PROJECT).id == PROJECT


def test_a_report_does_not_wait_for_who_writes(app: FakeApp) -> None:
    with app.store.begin() as session:
        projects.report_problem(
            session,
            PROJECT,
            "run",
            projects.Fault("a", "Not committed yet."),
        )
        session.flush()
        assert status.project_report(app.context, PROJECT).problems == ()


def _problem(app: FakeApp, task_id: int | None, message: str, reason: str = "r") -> None:
    with app.store.begin() as session:
        projects.report_problem(
            session,
            PROJECT,
            "score",
            projects.Fault(reason, message, "Do this."),
            task_id=task_id,
        )


def test_problems_that_differ_in_their_task_are_one_group(app: FakeApp) -> None:
    for task_id in (9, 3, 12):
        _problem(app, task_id, f"Task {task_id}: 'scan {task_id}.png' answers 404 on 'a host'.")
    _problem(app, 4, "Task 4: it has 3 x 4 pixels.")
    _problem(app, None, "The checkpoint 3 is gone.")
    _problem(app, None, "The checkpoint 4 is gone.")
    report = status.project_report(app.context, PROJECT)
    first, *others = report.problem_groups
    assert (first.count, first.tasks, first.remedy) == (3, (3, 9, 12), "Do this.")
    assert first.message == "... answers 404 on 'a host'."
    assert sorted((group.message, group.tasks) for group in others) == [
        ("The checkpoint 3 is gone.", ()),
        ("The checkpoint 4 is gone.", ()),
        ("it has 3 x 4 pixels.", (4,)),
    ]
    assert len(report.problems) == 6
    value = report.model_dump(mode="json")
    assert value["problem_groups"][0]["tasks"] == [3, 9, 12]
    assert status.ProjectReport.model_validate(value) == report


def test_ten_thousand_problems_are_grouped_at_once(app: FakeApp) -> None:
    problems = tuple(
        status.ProblemReport(
            stage="score",
            reason="image_missing",
            message=f"Task {i}: the image 'http://host/{i}.png' does not exist.",
            remedy="",
            task_id=i,
            created_at=0.0,
        )
        for i in range(10_000)
    )
    started = time.monotonic()
    (group,) = status.grouped(problems)
    assert time.monotonic() - started < 30  # minutes, if each were compared with each
    assert group.count == len(group.tasks) == 10_000


@pytest.mark.parametrize(
    "message", ["Task 1: it's odd: 'a.", 'Task 1: "', "Task 1: ''", "Task 1: "]
)
def test_odd_messages_are_grouped_too(app: FakeApp, message: str) -> None:
    for task_id in (1, 2):
        _problem(app, task_id, message)
    report = status.project_report(app.context, PROJECT)
    assert sum(group.count for group in report.problem_groups) == 2
