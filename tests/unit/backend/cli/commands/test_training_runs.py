"""The commands about runs, on a store with a run in it."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from backend.cli.main import app as program
from backend.pipeline.basis.context import AppContext
from backend.pipeline.folds.budget import budget_of
from backend.pipeline.sync import trigger
from backend.store import projects
from backend.store.models import FoldRow, ProjectRow, RunRow
from converters.bookkeeping.files import write_json
from domain.errors import NnloopError, SettingsError, TrainingError
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result
from tests.unit.backend.pipeline.models.versions import add_version
from training.folds.spec import LOG, PROGRESS, EpochProgress
from training.pretrained import NETWORK


@pytest.fixture(autouse=True)
def _context(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppContext, "open", lambda _settings: app.context)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(app.context.settings.data_dir))


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments), env={"COLUMNS": "220"})


def _output(*arguments: str) -> str:
    result = _call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def _error(*arguments: str) -> NnloopError:
    result = _call(*arguments)
    assert isinstance(result.exception, NnloopError), result.output
    return result.exception


@pytest.fixture
def run_id(app: FakeApp) -> int:
    """Run 3, budget 10 minutes, fold 0 done and fold 1 in training."""
    run_id = app.add_run(
        RunStatus.TRAINING, 3, settings={"budget_s": 600.0}, trigger="12 annotations"
    )
    result = fold_result(seconds=60.0, batch_size=1, planned_batch_size=2, stopped="plateau")
    with app.store.begin() as session:
        done = {"status": FoldStatus.DONE, "result": result, "case_dice": 0.75, "attempts": 1}
        session.add(FoldRow(run_id=run_id, fold=0, epoch=20, epochs=20, **done))
        trains = {"status": FoldStatus.RUNNING, "eta_s": 45.0, "val_loss": -0.3, "attempts": 1}
        session.add(FoldRow(run_id=run_id, fold=1, epoch=5, epochs=20, lease_until=9e9, **trains))
    for fold in (0, 1):
        folder = app.context.workspace(PROJECT).fold_dir(3, fold)
        folder.mkdir(parents=True)
        (folder / LOG).write_text("".join(f"fold {fold} line {i}\n" for i in range(9)))
        epochs = [
            EpochProgress(fold, n, 20, -0.1 * n, -0.1 * n, 0.1 * n, 1.0, 0.0, {"lumen": 0.1 * n})
            for n in (1, 2, 3)
        ]
        lines = [json.dumps(dataclasses.asdict(epoch)) for epoch in epochs]
        (folder / PROGRESS).write_text("\n".join(lines) + "\n")
    return run_id


def test_the_options_of_train_hold_for_that_run(app: FakeApp) -> None:
    options = "--budget 1h30m --folds 2 --from-scratch --replan --preset tiny"
    assert "Training requested" in _output("train", "Carotid", *options.split())
    with app.store.begin() as session:
        assert projects.training_request(session, PROJECT) == {
            "budget_s": 5400.0,
            "n_folds": 2,
            "warm_start": False,
            "replan": True,
            "preset": "tiny",
        }


def test_a_run_may_start_from_a_version_with_its_plans(app: FakeApp) -> None:
    add_version(app, 1)
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1")
    write_json(folder / "dataset.json", {"channel_names": {"0": "grey"}})
    said = _output("train", "Carotid", "--start-from", "nnloop-v1", "--map", "wall=")
    assert "nnloop-v1, with its plans" in " ".join(said.split())
    with app.store.begin() as session:
        asked = projects.training_request(session, PROJECT)
        assert asked == {
            "start_from": str(folder),
            "start_map": {"lumen": "lumen"},
            "plans": str(folder / "plans.json"),
            "planner": "",
            "gpu_memory_gb": None,
        }
        run = trigger.start(session, PROJECT, "", asked)
        assert run is not None and run.settings.start_map == {"lumen": "lumen"}


def test_a_preset_named_for_the_run_stays_whatever_it_starts_from(app: FakeApp) -> None:
    add_version(app, 1)
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1")
    write_json(folder / "dataset.json", {"channel_names": {"0": "grey"}})
    (folder / "plans.json").chmod(0o644)
    network = {"architecture": {"network_class_name": NETWORK}}
    write_json(folder / "plans.json", {"configurations": {"2d": network}})
    for options, preset in (("", "pretrained"), ("--preset fast", "fast")):
        _output("train", "Carotid", "--start-from", "nnloop-v1", *options.split())
        with app.store.begin() as session:
            asked = projects.training_request(session, PROJECT)
            assert asked is not None and asked["preset"] == preset


@pytest.mark.parametrize(
    "options", ["--map a=b", "--start-from v --from-scratch", "--start-from v --plans p"]
)
def test_starts_that_contradict_themselves_are_refused(app: FakeApp, options: str) -> None:
    result = _call("train", "Carotid", *options.split())
    assert result.exit_code == 2
    with app.store.begin() as session:
        assert projects.training_request(session, PROJECT) is None


def test_a_run_may_have_no_budget_though_its_project_has(app: FakeApp) -> None:
    app.change_settings(budget_s=60.0)
    _output("train", "Carotid", "--budget", "none")
    with app.store.begin() as session:
        assert projects.training_request(session, PROJECT) == {"budget_s": 0.0}
        run = trigger.start(session, PROJECT, "", {"budget_s": 0.0})
        assert run is not None and budget_of(run) is None


def test_without_options_the_projects_settings_hold(app: FakeApp) -> None:
    _output("train", "Carotid")
    with app.store.begin() as session:
        assert projects.training_request(session, PROJECT) == {}


def test_options_that_can_not_be_used_are_named(app: FakeApp) -> None:
    error = _error("train", "Carotid", "--folds", "1")
    assert isinstance(error, SettingsError) and "--folds" in str(error)
    error = _error("train", "Carotid", "--budget", "soon")
    assert isinstance(error, SettingsError) and "--budget: 'soon' is no duration" in str(error)


def test_runs_are_listed(app: FakeApp, run_id: int) -> None:
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).stage_started_at = time.time() - 301
    out = _output("runs", "Carotid")
    for word in ("3", "training", "12 annotations", "10m", "5m0", "0.750"):
        assert word in out
    (run,) = json.loads(_output("runs", "Carotid", "--json"))
    assert (run["number"], run["budget_s"], run["control"]) == (3, 600.0, "run")


def test_without_runs_the_list_says_so(app: FakeApp) -> None:
    assert "No training has been started yet." in _output("runs", "Carotid")
    error = _error("log", "Carotid")
    assert isinstance(error, TrainingError) and "no training run" in str(error)
    assert "nnloop train 1" in error.remedy


def test_a_run_is_paused_resumed_and_cancelled(app: FakeApp, run_id: int) -> None:
    assert "Run 3 pauses while training" in _output("pause", "Carotid")
    assert app.run(run_id).control == RunControl.PAUSE
    assert "paused (training)" in _output("runs", "Carotid")
    status = _output("status", "Carotid")
    assert "Run 3: paused while training" in status and "budget 10m" in status
    assert "Run 3 goes on: training." in _output("resume", "Carotid")
    assert app.run(run_id).control == RunControl.RUN
    assert "Run 3 is being cancelled." in _output("cancel", "Carotid")  # fold 1 is at work
    assert app.run(run_id).control == RunControl.CANCEL
    assert "being cancelled" in _output("status", "Carotid")


def test_status_says_how_far_each_fold_is(run_id: int) -> None:
    out = _output("status", "Carotid")
    assert "Run 3: training, budget 10m, trained in about 45s" in out
    assert "0.750" in out and "-0.300" in out and "45s" in out
    assert "ended early: Dice rose no more" in out
    assert "batch reduced to 1: memory ran out" in out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-n", "2"], ["fold 1 line 7", "fold 1 line 8"]),  # the one that trains
        (["--fold", "0", "-n", "1"], ["fold 0 line 8"]),
        (["--run", "3", "--fold", "0", "-n", "0"], []),
        (["--fold", "0", "--follow", "-n", "1"], ["fold 0 line 8"]),  # it is over: nothing follows
    ],
)
def test_the_end_of_a_log(run_id: int, options: list[str], expected: list[str]) -> None:
    assert _output("log", "Carotid", *options).splitlines() == expected


def test_a_log_that_grows_is_followed_to_its_end(
    app: FakeApp, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = app.context.workspace(PROJECT).fold_dir(3, 1) / LOG

    def write_more(_seconds: float) -> None:
        with path.open("a") as file:
            file.write("the last line\n")
        with app.store.begin() as session:
            session.query(FoldRow).filter_by(fold=1).one().status = FoldStatus.DONE

    monkeypatch.setattr("backend.cli.commands.training_log.time.sleep", write_more)
    out = _output("log", "Carotid", "-n", "1", "--follow")
    assert out.splitlines() == ["fold 1 line 8", "the last line"]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--fold", "7"], "Run 3 has no fold 7"), (["--run", "9"], "no run 9")],
)
def test_what_there_is_no_log_of(run_id: int, options: list[str], words: str) -> None:
    assert words in str(_error("log", "Carotid", *options))


def test_curves_are_drawn(run_id: int, tmp_path: Path) -> None:
    out = tmp_path / "curves.png"
    assert "2 folds of run 3" in _output("curves", "Carotid", "--out", str(out))
    with Image.open(out) as image:
        assert image.format == "PNG" and image.width > 300


def test_without_an_epoch_there_are_no_curves(app: FakeApp, tmp_path: Path) -> None:
    app.add_run(RunStatus.PREPARING, 1)
    error = _error("curves", "Carotid", "--out", str(tmp_path / "curves.png"))
    assert "Run 1 has no finished epoch to draw." in str(error)
    assert not (tmp_path / "curves.png").exists()


def test_a_log_is_not_followed_beyond_the_end_of_its_run(
    app: FakeApp, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_seconds: float) -> None:
        # Another fold failed: this one was stopped and stays queued for good.
        with app.store.begin() as session:
            session.query(FoldRow).filter_by(fold=1).one().status = FoldStatus.QUEUED
            session.get_one(RunRow, run_id).status = RunStatus.FAILED

    monkeypatch.setattr("backend.cli.commands.training_log.time.sleep", end)
    assert _output("log", "Carotid", "-n", "1", "--follow").splitlines() == ["fold 1 line 8"]


def test_a_second_training_is_refused(app: FakeApp, run_id: int) -> None:
    error = _error("train", "Carotid")
    assert isinstance(error, TrainingError)
    assert str(error) == "No training was requested: Run 3 is training."


def test_texts_of_others_are_printed_as_they_are(app: FakeApp) -> None:
    app.add_run(RunStatus.FAILED, 3, trigger="new is 'wall [mm]'", error="See [/data] or [red].")
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).error = "No [answer]."
        projects.report_problem(
            session,
            PROJECT,
            "prepare",
            projects.Fault("no_group", "By name:^([a-z]+)_ [/x]"),
        )
    out = _output("status", "Carotid") + _output("runs", "Carotid")
    for text in ("wall [mm]", "See [/data] or [red].", "No [answer].", "name:^([a-z]+)_ [/x]"):
        assert text in out
