from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from backend.cli.commands import projects as commands
from backend.cli.main import app as program
from backend.pipeline.sync.reading import sync_project
from backend.queue import JobInfo, JobName, JobState
from backend.queue.worker_info import WorkerInfo
from backend.store import projects
from backend.store.models import FoldRow, ProjectRow
from backend.store.training import runs
from domain.case import Manifest
from domain.errors import LabelStudioError
from domain.gate_verdict import Verdict
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.cli.conftest import Terminal
from tests.unit.backend.pipeline.queues.filled import fill, lab, serve
from tests.unit.backend.pipeline.queues.test_arms import history

__all__ = ["lab"]

NARROW = 80


@pytest.fixture(autouse=True)
def _narrow(app: FakeApp, monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    monkeypatch.setattr(commands, "context", lambda _data_dir=None: app.context)
    terminal(NARROW)


def _status(*arguments: str) -> str:
    ended = CliRunner().invoke(program, ["status", *arguments])
    assert ended.exit_code == 0, ended.output
    return ended.output


def _lost(app: FakeApp, n: int, stage: str = "score") -> None:
    with app.store.begin() as session:
        for task_id in range(3, 3 + n):
            projects.report_problem(
                session,
                PROJECT,
                stage,
                projects.Fault(
                    "image_missing",
                    f"Task {task_id}: the image '/data/upload/{task_id}/scan {task_id}.png' does "
                    "not exist.",
                    "Upload it again.",
                ),
                task_id=task_id,
            )


def test_equal_problems_are_one_line_and_their_remedy_is_said_once(app: FakeApp) -> None:
    _lost(app, 500)
    with app.store.begin() as session:
        projects.report_problem(
            session,
            PROJECT,
            "run",
            projects.Fault("run_failed", "Fold 1 failed."),
        )
        projects.report_problem(
            session,
            PROJECT,
            "score",
            projects.Fault("x", "Task 1: odd.", "Mend it."),
            task_id=1,
        )
    lines = _status().splitlines()
    assert len(lines) < 20
    text = " ".join(" ".join(lines).split())
    assert "500 tasks: the image ... does not exist: 3, 4, 5, 6, 7, 8, 9, 10 ... (+492)" in text
    assert text.count("Upload it again.") == 1
    assert "run Fold 1 failed." in text
    assert "score Task 1: odd." in text and "Mend it." in text
    assert text.index("500 tasks") < text.index("Fold 1")  # the most frequent first
    listed = _status("Carotid", "--problems")
    assert listed.count("scan 3.png") == 1 and listed.count("scan 502.png") == 1
    assert max(map(len, listed.splitlines())) <= NARROW


def test_everything_fits_a_narrow_terminal(app: FakeApp) -> None:
    page = "\n".join(["<html>", "<p>" + "x" * 300, *["<br/>"] * 200])
    with app.store.begin() as session:
        row = session.get_one(ProjectRow, PROJECT)
        row.title = "A study of many vessels of many people in many places " * 3
        row.error = page
        for number in range(4):
            projects.report_problem(
                session,
                PROJECT,
                f"stage{number}",
                projects.Fault("label_studio", page, page),
            )
    for number in range(1, 4):
        app.add_version(
            number,
            metrics={
                "labels": 1200,
                "oof_dice": {"a vessel's lumen": 0.9, "a vessel's wall": 0.8, "plaque": 0.7},
                "gate": Verdict(
                    True,
                    0.8,
                    0.8,
                    1200,
                    0.01,
                    "not worse on 1,200 cases, no class is worse beyond doubt",
                ),
            },
        )
    run_id = app.add_run(RunStatus.TRAINING, 9, error=page, note="Asked for otherwise. " * 9)
    with app.store.begin() as session:
        for fold in range(5):
            session.add(
                FoldRow(
                    run_id=run_id,
                    fold=fold,
                    status=FoldStatus.RUNNING,
                    epoch=123,
                    epochs=1000,
                    train_loss=-0.5,
                    val_loss=-0.4,
                    dice=0.8,
                    case_dice=0.7,
                    eta_s=4000.0,
                    device="cuda:0",
                    error="CUDA out of memory. " * 4,
                )
            )
    text = _status()
    # A word that is longer than a line, as a path may be, is left whole for the terminal to fold.
    lines = [line for line in text.splitlines() if "x" * 100 not in line]
    assert max(map(len, lines)) <= NARROW
    assert len(text.splitlines()) < 140
    for figure in ("123/1000", "running", "-0.500", "0.700 sample", "nnloop-v3"):
        assert figure in text


def test_a_rename_is_asked_about_once(app: FakeApp) -> None:
    for task_id in range(1, 13):
        app.label_studio.add_task(task_id)
        app.label_studio.label(task_id, polygon("lumen"))
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        run.status = RunStatus.DONE
    app.add_version(
        2, manifest=run_manifest(Manifest((), class_values=("lumen", "wall"), n_folds=2))
    )
    renamed = CONFIG.replace('"lumen"', '"Lumen"')
    app.label_studio.info = replace(app.label_studio.info, label_config=renamed)
    sync_project(app.context, PROJECT)
    lines = _status().splitlines()
    text = " ".join(" ".join(lines).split())
    assert text.count("--map") == 1 and text.count("a rename?") == 1
    assert "Next training: waits for an answer to the question about labels below." in text
    # A command is copied whole.
    assert any("nnloop labels 1 --keep-apart lumen=Lumen" in line for line in lines)
    assert max(map(len, lines)) <= NARROW


def test_what_is_wrong_is_said_with_its_remedy(app: FakeApp) -> None:
    text = " ".join(_status().split())
    assert "Workers: none; 0 jobs wait. Start them: nnloop up" in text
    assert "0 tasks; not read yet; serves nothing" in text
    app.add_tasks(1)
    app.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        sync_project(app.context, PROJECT)
    text = " ".join(_status().split())
    assert "Label Studio: Label Studio can't be reached. Start it." in text
    assert "skipped of 1 task; " in text


def test_a_role_that_no_worker_has_is_named(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def workers() -> list[WorkerInfo]:
        return [
            WorkerInfo("t", ("nnloop-train",), ""),
            WorkerInfo("p", ("nnloop-interactive", "nnloop-step", "nnloop-score"), ""),
        ]

    monkeypatch.setattr(app.queue, "workers", workers)
    text = " ".join(_status().split())
    assert (
        "No worker reads Label Studio and pushes predictions. Start one: nnloop worker --role loop"
        in text
    )
    assert "--role train" not in text


def test_jobs_that_failed_are_counted(app: FakeApp) -> None:
    assert "failed" not in _status()
    failed = JobInfo("sync-1", JobName.SYNC, (1,), JobState.FAILED, None, "w", "MemoryError")
    app.queue.listed = [failed, replace(failed, id="sync-2", state=JobState.LOST)]
    assert "Jobs: 1 job failed. Which, and why: nnloop jobs" in " ".join(_status().split())


def test_columns_in_which_nothing_stands_are_left_out(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING, 2)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, epochs=10))
    text = _status()
    assert "Status" in text and "Val. loss" not in text and "Remarks" not in text


def test_queues_say_how_much_is_left_and_the_control_arm_what_it_tells(lab: FakeApp) -> None:
    version = serve(lab, 1)
    history(lab, version, control=[0.7, 0.9] * 20, strategy=[0.7, 0.9] * 30)
    fill(lab)
    said = " ".join(_status().split())
    assert "Queues: Anna 20/20, Ben 20/20 left (lowest_score)" in said
    assert "Control arm: Dice 0.80 (0." in said
    assert "by 40 tasks drawn by chance; lowest_score finds as much to correct" in said
    assert "per label as chance (90 % interval -0." in said
    assert "it does not pay (turn_to_random would draw by chance)" in said


def test_before_a_batch_is_done_status_says_what_is_needed(lab: FakeApp) -> None:
    fill(lab)
    assert "Control arm:" not in _status()
    serve(lab, 1)
    fill(lab)
    said = " ".join(_status().split())
    assert "Left of each batch under way, whose size changes when tasks are drawn anew; " in said
    assert "lowest_score: the lowest scores." in said
    assert "or whether choosing tasks pays: 0 of 10 labels drawn by chance are there" in said
    lab.change_settings(control_share=0.0)
    assert "Control arm:" not in _status()
