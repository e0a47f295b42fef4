"""The film of a run, while runs end, tasks go and classes are renamed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from backend.report.watching.film import Filmed, make_film, seconds_of
from backend.store.models import FoldRow, ProjectRow, RunRow, TaskRow
from converters.pictures.learning import MOST_STRIPS
from domain.errors import NnloopError, TrainingError
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG
from tests.unit.backend.report.watching.training_run import (
    add_film,
    add_run,
    fold_dir,
    set_fold,
)
from training.folds.film import FOLDER


def film(app: FakeApp, *folds: int, number: int | None = None) -> Filmed:
    out = app.context.settings.data_dir / "film.gif"
    return make_film(app.context, PROJECT, out, number=number, folds=folds)


def why(app: FakeApp, *folds: int, number: int | None = None) -> str:
    with pytest.raises(TrainingError) as caught:
        film(app, *folds, number=number)
    assert caught.value.remedy
    return str(caught.value)


def gif(app: FakeApp) -> GifImageFile:
    found = Image.open(app.context.settings.data_dir / "film.gif")
    assert isinstance(found, GifImageFile)
    return found


def test_folds_stand_side_by_side_each_with_a_case_it_has_not_seen(app: FakeApp) -> None:
    run_id = add_run(app)
    add_film(app, run_id, 0, n=3)
    add_film(app, run_id, 1, n=5)
    made = film(app)
    assert [(one.fold, one.name, one.epoch) for one in made.folds] == [
        (0, "2.png", 2),
        (1, "1.png", 4),
    ]
    assert made.folds[1].first_dice == 0.0 and made.folds[1].last_dice == pytest.approx(0.8)
    assert made.said == () and made.run == 1
    with gif(app) as shown:
        assert shown.n_frames == 5 and made.n_bytes < 1_000_000
    one = film(app, 1)
    assert [row.fold for row in one.folds] == [1]


def test_what_has_nothing_to_show_is_told_in_a_sentence(app: FakeApp) -> None:
    assert why(app) == "No training has run here yet."
    app.add_run(RunStatus.PREPARING, 7)
    assert why(app) == "Run 7 is preparing: its folds have not begun."
    assert why(app, number=3) == "There is no run 3; the newest is 7."
    with app.store.begin() as session:
        session.get_one(RunRow, 1).status = RunStatus.FAILED
    assert why(app) == "Run 7 failed before its folds began."
    run_id = add_run(app, number=8)
    assert why(app, 5) == "Run 8 has no fold 5."
    assert why(app).startswith("Run 8: Fold 0 has none yet")
    set_fold(app, run_id, 0, FoldStatus.QUEUED)
    assert why(app).startswith("Run 8: Fold 0 has not begun")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (RunStatus.DONE, "Run 1: Fold 0 has no pictures: an older release trained it, or"),
        (RunStatus.CANCELLED, "Run 1 was cancelled, and its pictures went with it."),
    ],
)
def test_a_run_of_before_or_without_its_folder(app: FakeApp, status: RunStatus, told: str) -> None:
    run_id = add_run(app, status=status)
    add_film(app, run_id, 0)
    shutil.rmtree(fold_dir(app, 0).parent)
    assert why(app).startswith(told)
    assert not (app.context.settings.data_dir / "film.gif").exists()


def test_where_nothing_is_held_out_there_is_no_film(app: FakeApp) -> None:
    add_run(app, n_folds=1)
    assert why(app).startswith("Run 1 was trained on all of its cases")


def test_a_deleted_task_is_shown_no_more(app: FakeApp) -> None:
    run_id = add_run(app)
    for fold in (0, 1):
        add_film(app, run_id, fold)
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).removed_at = time.time()
    made = film(app)
    assert [row.fold for row in made.folds] == [0]
    assert made.said == ("Fold 1 is left out: the image it shows is not in the project any more.",)
    # Another task has its id now.
    with app.store.begin() as session:
        session.get_one(TaskRow, 2).source = "another"
    assert "Fold 0 is left out" in why(app)


def colors(app: FakeApp) -> set[tuple[int, ...]]:
    with gif(app) as shown:
        shown.seek(shown.n_frames - 1)
        pixels = np.asarray(shown.convert("RGB")).reshape(-1, 3)
    return {tuple(color) for color in np.unique(pixels, axis=0).tolist()}


def test_classes_have_the_names_and_colours_of_now(app: FakeApp) -> None:
    run_id = add_run(app)
    add_film(app, run_id, 0)
    film(app)
    before = colors(app)
    renamed = CONFIG.replace('<Label value="lumen"/>', '<Label value="open" background="#ff0000"/>')
    with app.store.begin() as session:
        project = session.get_one(ProjectRow, PROJECT)
        project.label_config, project.label_mapping = renamed, {"lumen": "open"}
    film(app)
    assert (255, 0, 0) in colors(app) and (255, 0, 0) not in before
    # lumen is another class now, one that this run has never heard of.
    both = CONFIG.replace(
        '<Label value="lumen"/>',
        '<Label value="open" background="#ff0000"/><Label value="lumen" background="#00ff00"/>',
    )
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_config = both
    film(app)
    assert not {(255, 0, 0), (0, 255, 0)} & colors(app)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_config = "<View></View>"
    film(app)
    assert colors(app)


def test_of_forty_folds_six_are_shown_and_that_is_said(app: FakeApp) -> None:
    run_id = add_run(app)
    with app.store.begin() as session:
        for fold in range(2, 40):
            session.add(FoldRow(run_id=run_id, fold=fold, status=FoldStatus.RUNNING))
    for fold in (0, 1):
        add_film(app, run_id, fold)
    for fold in range(2, 40):
        shutil.copytree(fold_dir(app, 0) / FOLDER, fold_dir(app, fold) / FOLDER)
    made = film(app)
    assert [row.fold for row in made.folds] == list(range(MOST_STRIPS))
    assert made.said == ("Only 6 folds are shown; --fold K, given several times, chooses.",)
    assert [row.fold for row in film(app, 39, 3).folds] == [3, 39]


def test_a_broken_film_costs_no_other(app: FakeApp) -> None:
    run_id = add_run(app)
    for fold in (0, 1):
        add_film(app, run_id, fold)
    (fold_dir(app, 0) / FOLDER / "film.json").write_text("{")
    made = film(app)
    assert [row.fold for row in made.folds] == [1]
    assert made.said[0].startswith("Fold 0: The pictures of fold_0 can't be read")


def test_what_can_not_be_written_is_an_error_of_the_file(app: FakeApp, tmp_path: Path) -> None:
    with pytest.raises(NnloopError, match="neither"):
        make_film(app.context, PROJECT, tmp_path / "x.webm", number=None, folds=())


@pytest.mark.parametrize("n", [1, 2, 3, 10, 48, 60])
def test_a_film_lasts_seconds(n: int) -> None:
    seconds = seconds_of(n)
    assert len(seconds) == n and 2 < sum(seconds) < 11
    assert max(seconds) == seconds[-1]
