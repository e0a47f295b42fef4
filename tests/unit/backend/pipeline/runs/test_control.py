from __future__ import annotations

import time
from unittest.mock import Mock

import pytest

from backend.pipeline.runs import control
from backend.pipeline.runs.request import request_training
from backend.pipeline.status import project_report
from backend.pipeline.sync import trigger
from backend.settings import RunSettings
from backend.store.models import FoldRow, RunRow, VersionRow
from backend.store.training import runs
from domain.errors import TrainingError
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp


def test_without_a_run_there_is_nothing_to_control(app: FakeApp) -> None:
    app.add_run(RunStatus.DONE)
    for act in (control.pause, control.resume, control.cancel):
        assert act(app.context, PROJECT) == "No run is active."


@pytest.mark.parametrize("status", [s for s in RunStatus if not s.is_final])
def test_a_paused_run_stays_the_active_one(app: FakeApp, status: RunStatus) -> None:
    run_id = app.add_run(status, 3)
    assert control.pause(app.context, PROJECT).startswith(f"Run 3 pauses while {status};")
    said = control.pause(app.context, PROJECT)
    assert said == f"Run 3 is paused while {status}; go on with `nnloop resume {PROJECT}`."
    with app.store.begin() as session:
        assert runs.claim_run(session, run_id) is None
        assert trigger.start(session, PROJECT, "again") is None
    with pytest.raises(TrainingError, match="No training was requested: Run 3 is paused"):
        request_training(app.context, PROJECT)
    report = project_report(app.context, PROJECT)
    assert report.waiting_for == said
    assert report.active_run is not None and report.active_run.control == RunControl.PAUSE
    assert control.resume(app.context, PROJECT) == f"Run 3 goes on: {status}."
    assert control.resume(app.context, PROJECT) == f"Run 3 is {status}."
    with app.store.begin() as session:
        assert runs.claim_run(session, run_id) is not None


def test_the_clock_of_a_stage_stands_still_in_a_pause(app: FakeApp) -> None:
    now = time.time()
    run_id = app.add_run(RunStatus.TRAINING, stage_started_at=now - 100)

    def later(seconds: float) -> None:
        with app.store.begin() as session:
            session.get_one(RunRow, run_id).stage_started_at -= seconds

    control.pause(app.context, PROJECT)
    later(5000)
    assert runs.seconds_in(app.run(run_id), RunStatus.TRAINING, now) == pytest.approx(100, abs=5)
    control.resume(app.context, PROJECT)
    later(30)
    trained = runs.seconds_in(app.run(run_id), RunStatus.TRAINING, time.time())
    assert trained == pytest.approx(130, abs=5)
    control.pause(app.context, PROJECT)
    later(1000)
    control.cancel(app.context, PROJECT)
    seconds = app.run(run_id).seconds
    assert seconds["training"] == pytest.approx(130, abs=5)
    assert seconds["paused"] == pytest.approx(6000, abs=5)


def test_a_run_nobody_works_on_is_cancelled_at_once(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING, 4)
    folder = app.context.workspace(PROJECT).fold_dir(4, 0)
    folder.mkdir(parents=True)
    assert control.cancel(app.context, PROJECT) == "Run 4 is cancelled."
    run = app.run(run_id)
    assert run.status == RunStatus.CANCELLED and run.finished_at is not None
    assert not folder.parent.exists() and folder.parents[1].exists()
    with app.store.begin() as session:
        assert trigger.start(session, PROJECT, "the next") is not None


def test_a_cancelled_run_has_left_nothing_even_if_its_end_was_cut_short(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = app.add_run(RunStatus.TRAINING, 4)
    folder = app.context.workspace(PROJECT).run_dir(4)
    folder.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "enter_stage", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            control.cancel(app.context, PROJECT)
    # Whoever sees it cancelled finds no folder; until then it is settled again.
    assert not folder.exists() and app.run(run_id).status == RunStatus.TRAINING
    assert control.settle(app.context, run_id)
    assert app.run(run_id).status == RunStatus.CANCELLED


@pytest.mark.parametrize("holder", ["run", "fold"])
def test_a_run_ends_when_its_last_job_has_let_it_go(app: FakeApp, holder: str) -> None:
    lease = time.time() + 10
    run_id = app.add_run(RunStatus.TRAINING, lease_until=lease if holder == "run" else 0.0)
    with app.store.begin() as session:
        held = lease if holder == "fold" else 0.0
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.RUNNING, lease_until=held))
    assert control.cancel(app.context, PROJECT) == "Run 1 is being cancelled."
    assert not control.settle(app.context, run_id)
    # Two runs may not work on the same data set.
    with app.store.begin() as session:
        assert trigger.start(session, PROJECT, "the next") is None
        session.get_one(RunRow, run_id).lease_until = 0.0
        session.query(FoldRow).one().lease_until = 0.0
    assert control.settle(app.context, run_id)
    assert app.run(run_id).status == RunStatus.CANCELLED


def test_the_version_of_a_cancelled_run_stays(app: FakeApp) -> None:
    version_id = app.add_version(1, published_at=None)
    app.add_tasks(1)
    with app.store.begin() as session:
        run = session.query(RunRow).one()
        run.status = RunStatus.SCORING
    assert control.cancel(app.context, PROJECT).endswith("Its version nnloop-v1 stays.")
    assert project_report(app.context, PROJECT).champion == "nnloop-v1"
    assert version_id and app.jobs == [("score", (PROJECT, 0))]  # it serves: its pool is scored


def test_a_run_that_goes_on_is_not_settled(app: FakeApp) -> None:
    for wanted in (RunControl.RUN, RunControl.PAUSE):
        with app.store.begin() as session:
            run = runs.create_run(session, PROJECT, "", RunSettings())
            assert run is not None
            run.control = wanted
        assert not control.settle(app.context, run.id)
        with app.store.begin() as session:
            runs.enter_stage(session, session.get_one(RunRow, run.id), RunStatus.FAILED)
        assert control.settle(app.context, run.id)


@pytest.mark.parametrize("has_row", [True, False])
def test_a_cancelled_run_leaves_no_version_that_nobody_knows(app: FakeApp, has_row: bool) -> None:
    run_id = app.add_run(RunStatus.EVALUATING, 4)
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v4")
    (folder / "fold_0").mkdir(parents=True)
    if has_row:
        with app.store.begin() as session:
            session.add(
                VersionRow(project_id=PROJECT, run_id=run_id, name="nnloop-v4", path=str(folder))
            )
    control.cancel(app.context, PROJECT)
    assert app.run(run_id).status == RunStatus.CANCELLED
    assert folder.exists() == has_row
