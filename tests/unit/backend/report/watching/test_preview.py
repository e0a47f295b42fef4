"""What folds say now, by real networks of random weights, while runs end and files go."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from backend.pipeline.sync.reading import sync_project
from backend.report.watching import shown_cases
from backend.report.watching.preview import Preview, PreviewOptions, preview
from backend.report.watching.shown_cases import named_task
from backend.report.watching.watched import find_run
from backend.store.models import FoldRow, ProjectRow, RunRow, TaskRow, VersionRow
from domain.errors import LabelStudioError, NnloopError, PredictionError
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.report.watching.training_run import (
    add_checkpoint,
    add_film,
    add_run,
    fold_dir,
    seen_all,
    set_fold,
)
from training.nnunet.inference import newest
from training.versions import fold_previews
from training.versions.manifests import FoldStart


@pytest.fixture(autouse=True)
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child does, done in this process: to load torch anew takes seconds each time."""
    if "child" in request.fixturenames:
        return

    def run(module: str, spec: object, on_line: Callable[[str], None], **_: object) -> None:
        assert module == "training.nnunet.inference.children.preview_folds"
        lines = io.StringIO()
        newest.preview(spec, lines)
        for line in lines.getvalue().splitlines():
            on_line(line)

    monkeypatch.setattr(fold_previews, "run_child", run)


@pytest.fixture
def child() -> None:
    """For a test that is to start it."""


def look(app: FakeApp, **options: object) -> Preview:
    out = app.context.settings.data_dir / "preview.png"
    out.unlink(missing_ok=True)
    made = preview(app.context, PROJECT, out, PreviewOptions(**options))  # type: ignore[arg-type]
    assert cv2.imread(str(out)) is not None
    return made


def why(app: FakeApp, **options: object) -> str:
    with pytest.raises(NnloopError) as caught:
        look(app, **options)
    assert caught.value.remedy
    return str(caught.value)


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_each_fold_shows_what_it_holds_out_and_the_run_stays_as_it_is(
    app: FakeApp, child: None
) -> None:
    run_id = add_run(app)
    add_checkpoint(app, 0, epoch=4)
    add_film(app, run_id, 0)
    before = files(fold_dir(app, 0).parent)
    made = look(app)
    assert [(row.fold, row.epoch, row.epochs) for row in made.rows] == [(0, 4, 9)] * 2
    # The case of the film is the first, both times.
    assert [row.name for row in made.rows] == ["2.png", "4.png"]
    assert all(0 <= (row.dice or 0) <= 1 and row.dice is not None for row in made.rows)
    assert made.said == ("Fold 1 has finished no epoch yet.",)
    assert files(fold_dir(app, 0).parent) == before
    assert app.label_studio.fetched == []


def test_a_newer_checkpoint_is_in_its_place_at_the_next_look(app: FakeApp) -> None:
    add_run(app)
    add_checkpoint(app, 0, epoch=4)
    first = look(app, n_cases=1)
    add_checkpoint(app, 0, epoch=5)
    # A fold that has ended has the other name.
    add_checkpoint(app, 1, epoch=9, name="checkpoint_final.pth")
    second = look(app, n_cases=1)
    assert [(row.fold, row.epoch) for row in first.rows] == [(0, 4)]
    assert [(row.fold, row.epoch) for row in second.rows] == [(0, 5), (1, 9)]
    assert first.rows[0].name == second.rows[0].name
    assert second.said == ("Fold 1 has trained its last epoch.",)


@pytest.mark.slow
def test_a_task_is_shown_by_who_holds_it_out_or_by_all_without_labels(app: FakeApp) -> None:
    add_run(app)
    for fold in (0, 1):
        add_checkpoint(app, fold, epoch=3)
    [row] = look(app, task="3").rows
    assert (row.fold, row.name) == (1, "3.png") and row.dice is not None
    [row] = look(app, task="4.png").rows
    assert row.fold == 0
    rows = look(app, task="11").rows
    assert [(row.fold, row.dice) for row in rows] == [(0, None), (1, None)]
    assert app.label_studio.fetched == [11]
    # Labelled since the run began: nobody has seen it.
    app.label_studio.label(11, polygon("lumen"))
    sync_project(app.context, PROJECT)
    [row] = look(app, task="11").rows
    assert row.dice is not None
    app.label_studio.is_down = True
    (app.context.workspace(PROJECT)).image_png(app.case_id(3)).unlink()
    with pytest.raises(LabelStudioError):
        look(app, task="3")


def test_what_every_fold_has_seen_is_shown_and_said(app: FakeApp) -> None:
    add_run(app)
    starts = [FoldStart(seed=0, seen=seen_all(app)), FoldStart(seed=1, seen=None)]
    add_run(app, number=2, starts=starts)

    def shown(task: str, *folds: int, number: int = 2) -> tuple[tuple[int, ...], str]:
        with app.store.read() as session:
            case = named_task(session, find_run(session, PROJECT, number, folds), task)
        return case.folds, case.remark

    assert shown("4", number=1) == ((0,), "")
    assert shown("4", 1, number=1) == ((1,), "which was trained on it")
    # Fold 0 would have held it out; the weights it started from have seen it.
    assert shown("4") == ((0,), "all folds have seen it in training")
    assert shown("3") == ((1,), "may have been seen by the weights it started from")
    assert shown("11") == ((0, 1), "")

    add_run(app, number=3, n_folds=1)
    add_checkpoint(app, 0, epoch=2, number=3)
    assert why(app).startswith("Run 3 holds no case out")
    assert shown("1", number=3) == ((0,), "all folds have seen it in training")
    [row] = look(app, task="1").rows
    assert row.fold == 0


def test_states_without_a_checkpoint_are_told_in_a_sentence(app: FakeApp) -> None:
    assert why(app) == "No training has run here yet."
    app.add_run(RunStatus.QUEUED, 1)
    assert why(app) == "Run 1 is queued: its folds have not begun."


@pytest.mark.slow
def test_runs_that_are_over_and_versions_that_were_pruned(app: FakeApp) -> None:
    run_id = add_run(app)
    assert why(app) == "No fold of run 1 has finished an epoch yet (training)."
    set_fold(app, run_id, 0, FoldStatus.QUEUED)
    add_checkpoint(app, 1, epoch=1)
    assert look(app).said == ("Fold 0 has not begun.",)

    with app.store.begin() as session:
        session.get_one(RunRow, run_id).status = RunStatus.DONE
        folder = app.context.workspace(PROJECT).version_dir("nnloop-v1")
        session.add(
            VersionRow(project_id=PROJECT, run_id=run_id, name="nnloop-v1", path=str(folder))
        )
        for row in session.query(FoldRow).all():
            row.status = FoldStatus.DONE
    # The version has links of its own; what the run had goes.
    for fold in (0, 1):
        source = add_checkpoint(app, fold, epoch=9, name="checkpoint_final.pth")
        target = folder / f"fold_{fold}" / source.name
        target.parent.mkdir(parents=True)
        source.rename(target)
    shutil.rmtree(fold_dir(app, 0).parent)
    made = look(app, n_cases=1)
    assert [row.epoch for row in made.rows] == [9, 9]
    assert made.said == ("Run 1 is done: this is what its last checkpoints say.",)

    shutil.rmtree(folder)
    with app.store.begin() as session:
        session.query(VersionRow).one().pruned_at = time.time()
    assert why(app) == "nnloop-v1, which run 1 has made, was pruned: its weights are gone."
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).status = RunStatus.CANCELLED
    assert why(app) == "Run 1 was cancelled, and its checkpoints went with it."


@pytest.mark.slow
def test_a_broken_checkpoint_a_lost_case_and_other_names_cost_their_own(app: FakeApp) -> None:
    add_run(app)
    add_checkpoint(app, 0, epoch=4)
    add_checkpoint(app, 1, epoch=4)
    whole = (fold_dir(app, 1) / "checkpoint_latest.pth").read_bytes()
    (fold_dir(app, 1) / "checkpoint_latest.pth").write_bytes(whole[: len(whole) // 2])
    with app.store.begin() as session:
        session.get_one(TaskRow, 2).removed_at = time.time()
        project = session.get_one(ProjectRow, PROJECT)
        project.label_config = CONFIG.replace('"lumen"', '"open"').replace(
            '<Label value="wall"/>', '<Label value="new"/>'
        )
        project.label_mapping = {"lumen": "open", "wall": ""}
    made = look(app)
    assert [row.name for row in made.rows] == ["4.png"]
    assert list(made.rows[0].dice_per_class) == ["open"]
    assert made.said[0].startswith("Fold 1 can't be shown: ")
    assert any("does not know it: new" in sentence for sentence in made.said)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {}
    with pytest.raises(PredictionError, match="none of them"):
        look(app)


def test_tasks_that_are_not_there(app: FakeApp) -> None:
    add_run(app)
    assert why(app, task="99") == "There is no task 99, and none whose image is called so."
    assert why(app, task="9" * 40).startswith("There is no task 999")
    assert why(app, folds=(9,)) == "Run 1 has no fold 9."
    with app.store.begin() as session:
        for task_id in (1, 2, 3, 4):
            session.get_one(TaskRow, task_id).removed_at = time.time()
    assert why(app) == "None of the cases that run 1 holds out is labelled any more."


@pytest.mark.slow
def test_folds_without_room_or_cases_are_told(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(app)
    for fold in (0, 1):
        add_checkpoint(app, fold, epoch=3)
    with app.store.begin() as session:
        for fold in range(2, 40):
            session.add(FoldRow(run_id=1, fold=fold, status=FoldStatus.QUEUED))
    made = look(app, folds=(0, 1, 2))
    assert made.said == ("Fold 2 is not shown: no image that it holds out is labelled any more.",)
    monkeypatch.setattr(shown_cases, "MOST_ROWS", 2)
    made = look(app)
    assert [row.fold for row in made.rows] == [0, 0]
    told = "Folds from 1 on are not shown; --fold K, given several times, chooses."
    assert made.said == (told,)
    rows = look(app, task="11")
    assert [row.fold for row in rows.rows] == [0, 1]
    assert rows.said[0].startswith("Folds from 6 on are not shown")
    assert look(app, task="3").said == ()


@pytest.mark.slow
def test_a_run_that_is_cancelled_while_we_look(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(app)
    add_checkpoint(app, 0, epoch=3)
    predict = newest.preview

    def cancelled_first(spec: object, lines: io.StringIO) -> None:
        shutil.rmtree(fold_dir(app, 0).parent)
        with app.store.begin() as session:
            session.get_one(RunRow, run_id).status = RunStatus.CANCELLED
        predict(spec, lines)

    monkeypatch.setattr(newest, "preview", cancelled_first)
    assert why(app) == "Run 1 was cancelled, and its checkpoints went with it."
