from __future__ import annotations

import pytest

from backend.pipeline.runs.request import request_scoring, request_training
from backend.pipeline.sync import reading
from backend.queue import JobName
from backend.store import projects
from backend.store.models import PredictionRow, ProblemRow, ProjectRow, RunRow, TaskRow
from backend.store.tasks import snapshots
from backend.store.training import runs
from domain.errors import (
    LabelStudioError,
    NotConnectedError,
    PredictionError,
    SettingsError,
    StackError,
    TrainingError,
)
from domain.states import RunStatus, TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon


def _hint(app: FakeApp, action: str = "ANNOTATION_CREATED") -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, action, [])


def _open_hints(app: FakeApp) -> int:
    with app.store.begin() as session:
        return len(projects.open_hints(session))


def _project(app: FakeApp) -> ProjectRow:
    with app.store.begin() as session:
        return session.get_one(ProjectRow, PROJECT)


def test_the_snapshot_becomes_what_label_studio_holds(app: FakeApp) -> None:
    for task_id in (1, 2, 3):
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    app.label_studio.label(2, was_cancelled=True)
    _hint(app)
    counts = reading.sync_project(app.context, PROJECT)
    assert counts == snapshots.SyncCounts(tasks=3, labelled=1, skipped=1, changed=2)
    assert _open_hints(app) == 0
    assert _project(app).synced_at is not None
    del app.label_studio.tasks[3]
    app.label_studio.unlabel(1)
    counts = reading.sync_project(app.context, PROJECT)
    assert (counts.tasks, counts.labelled, counts.changed) == (2, 0, 2)
    assert reading.sync_project(app.context, PROJECT).changed == 0


def test_a_hint_that_arrives_during_the_reading_stays_open(app: FakeApp) -> None:
    app.label_studio.add_task(1)
    _hint(app)
    app.label_studio.while_reading = lambda: _hint(app)
    reading.sync_project(app.context, PROJECT)
    assert _open_hints(app) == 1
    app.label_studio.while_reading = lambda: None
    reading.sync_project(app.context, PROJECT)
    assert _open_hints(app) == 0


@pytest.mark.parametrize("when", ["at once", "half way"])
def test_while_label_studio_is_down_nothing_is_lost(app: FakeApp, when: str) -> None:
    for task_id in (1, 2):
        app.label_studio.add_task(task_id)
    reading.sync_project(app.context, PROJECT)
    _hint(app, projects.START_TRAINING)
    app.label_studio.is_down = when == "at once"

    def go_down() -> None:
        app.label_studio.is_down = True

    app.label_studio.while_reading = go_down
    with pytest.raises(LabelStudioError):
        reading.sync_project(app.context, PROJECT)
    assert _project(app).error == "Label Studio can't be reached. Start it."
    assert _open_hints(app) == 1
    with app.store.begin() as session:
        assert projects.training_request(session, PROJECT) is not None
        # A reading that broke off says nothing about the tasks it did not come to.
        assert snapshots.counts(session, PROJECT)[TaskState.UNLABELLED] == 2
    app.label_studio.is_down, app.label_studio.while_reading = False, lambda: None
    reading.sync_project(app.context, PROJECT)
    assert (_project(app).error, _open_hints(app)) == ("", 0)
    with app.store.begin() as session:
        assert runs.active_run(session, PROJECT) is not None


def test_no_transaction_is_open_while_label_studio_is_asked(app: FakeApp) -> None:
    # SQLite lets one writer in: a webhook that comes now must not wait for Label Studio.
    app.label_studio.add_task(1)
    entered: list[bool] = []

    def write_from_elsewhere() -> None:
        with app.store.engine.connect() as connection:
            impatient = {"sqlite": "PRAGMA busy_timeout=0", "postgresql": "SET lock_timeout = 1"}
            connection.exec_driver_sql(impatient[app.store.engine.name])
            connection.exec_driver_sql("UPDATE project SET title = title")
            connection.rollback()
        entered.append(True)

    app.label_studio.while_reading = write_from_elsewhere
    reading.sync_project(app.context, PROJECT)
    assert entered == [True]


def test_the_title_and_the_labels_are_taken_over(app: FakeApp) -> None:
    from dataclasses import replace

    app.label_studio.info = replace(app.label_studio.info, title="New", label_config="<View/>")
    reading.sync_project(app.context, PROJECT)
    assert (_project(app).title, _project(app).label_config) == ("New", "<View/>")


def test_an_unknown_project_is_not_asked_for(app: FakeApp) -> None:
    with pytest.raises(NotConnectedError):
        reading.sync_project(app.context, 9)
    assert app.label_studio.calls == []


def test_enough_annotations_start_a_run(app: FakeApp) -> None:
    app.change_settings(min_annotations=2)
    for task_id in (1, 2, 3):
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    reading.sync_project(app.context, PROJECT)
    assert app.jobs == []
    app.label_studio.label(2, polygon())
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        run = runs.active_run(session, PROJECT)
    assert run is not None and run.trigger == "2 annotations, the first training is due"
    assert app.jobs == [("advance", (run.id,))]


def test_a_new_task_is_scored_by_the_champion(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2)
    with app.store.begin() as session:
        session.add(PredictionRow(project_id=PROJECT, task_id=1, version_id=version))
        session.get_one(TaskRow, 2).state = TaskState.LABELLED
    app.label_studio.label(2, polygon())
    reading.sync_project(app.context, PROJECT)
    assert app.jobs == []
    app.label_studio.add_task(3)
    reading.sync_project(app.context, PROJECT)
    assert app.jobs == [("score", (PROJECT, 0))]


def test_a_requested_training(app: FakeApp) -> None:
    assert "requested" in request_training(app.context, PROJECT)
    assert app.jobs == [("sync", (PROJECT,))]
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        run = runs.active_run(session, PROJECT)
        assert run is not None and run.trigger == "requested by a person"
    # While it runs, another request is refused in words and leaves nothing behind.
    with pytest.raises(TrainingError, match="No training was requested: Run 1 is queued"):
        request_training(app.context, PROJECT)
    assert _open_hints(app) == 0
    with app.store.begin() as session:
        runs.enter_stage(session, session.get_one(RunRow, run.id), RunStatus.FAILED)
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        assert runs.active_run(session, PROJECT) is None  # one request, one run


def test_a_requested_scoring(app: FakeApp) -> None:
    with pytest.raises(PredictionError, match="No version of project 1 serves yet"):
        request_scoring(app.context, PROJECT)
    app.add_version()
    assert request_scoring(app.context, PROJECT) == "nnloop-v1 has scored every unlabelled task."
    app.add_tasks(1)
    assert "requested" in request_scoring(app.context, PROJECT)
    assert app.jobs == [("score", (PROJECT, 0))]


def test_a_request_brings_its_own_settings(app: FakeApp) -> None:
    request_training(app.context, PROJECT, {"budget_s": 600.0, "replan": True})
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        run = runs.active_run(session, PROJECT)
        assert run is not None
        assert (run.settings.budget_s, run.settings.replan) == (600.0, True)


def test_a_request_that_can_not_be_met_is_refused_at_once(app: FakeApp) -> None:
    with pytest.raises(SettingsError, match="preset: Input should be"):
        request_training(app.context, PROJECT, {"preset": "huge"})
    assert _open_hints(app) == 0


def test_reading_starts_nothing_and_leaves_a_request_open(app: FakeApp) -> None:
    app.change_settings(min_annotations=1)
    app.label_studio.add_task(1)
    app.label_studio.label(1, polygon())
    request_training(app.context, PROJECT)
    app.queue.asked.clear()
    assert reading.read_project(app.context, PROJECT).labelled == 1
    assert app.jobs == []
    assert _open_hints(app) == 1
    with app.store.begin() as session:
        assert runs.active_run(session, PROJECT) is None
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        assert runs.active_run(session, PROJECT) is not None


def test_a_request_that_another_run_overtook_is_not_lost_without_a_word(app: FakeApp) -> None:
    request_training(app.context, PROJECT, {"budget_s": 600.0})
    app.add_run(RunStatus.TRAINING)
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert "was not started: another run had begun" in problem.message


def test_a_request_that_can_no_longer_be_met_does_not_stop_the_reading(app: FakeApp) -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, projects.START_TRAINING, [], {"n_folds": 1})
    reading.sync_project(app.context, PROJECT)
    assert _open_hints(app) == 0
    with app.store.begin() as session:
        problem: ProblemRow = projects.open_problems(session, PROJECT)[0]
    assert "n_folds" in problem.message and "(got 1)" in problem.message


def test_a_request_waits_where_nothing_runs(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: JobName, *_ids: int) -> bool:
        raise StackError("nnloop is not running here.", remedy="Start it (nnloop up).")

    monkeypatch.setattr(app.queue, "ensure", refuse)
    said = request_training(app.context, PROJECT)
    assert said.startswith("Training requested; it starts once nnloop runs.")
    assert _open_hints(app) == 1


def test_problems_of_tasks_end_with_what_they_were_about(app: FakeApp) -> None:
    for task_id in range(1, 7):
        app.label_studio.add_task(task_id)
    for task_id in (4, 5, 6):
        app.label_studio.label(task_id, polygon())
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        for task_id, stage in enumerate(["score"] * 3 + ["prepare"] * 3, start=1):
            projects.report_problem(
                session,
                PROJECT,
                stage,
                projects.Fault("x", "It failed."),
                task_id=task_id,
            )
    del app.label_studio.tasks[1], app.label_studio.tasks[4]  # deleted
    app.label_studio.label(2, polygon())  # needs no prediction any more
    app.label_studio.unlabel(5)  # is left out of nothing any more
    reading.sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        found = projects.open_problems(session, PROJECT)
    assert sorted((p.task_id, p.stage) for p in found) == [(3, "score"), (6, "prepare")]
