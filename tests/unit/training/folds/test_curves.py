from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy.typing as npt
import pytest

from training.folds.curves import CurvesWriter, draw_curves, draw_run
from training.folds.spec import EpochProgress

GREEN = (115, 158, 0)
"""OpenCV's order of the colour of the first class."""


def epoch(number: int, *, dice: float | None = 0.5, case: float | None = None) -> EpochProgress:
    return EpochProgress(
        fold=0,
        epoch=number,
        epochs=9,
        train_loss=1.0 / number,
        val_loss=1.2 / number,
        dice=dice,
        seconds=1.0,
        time=0.0,
        case_dice=None if case is None else {"lumen": case},
    )


def pixels(path: Path) -> npt.NDArray[Any]:
    image: npt.NDArray[Any] | None = cv2.imread(str(path))
    assert image is not None
    return image


def test_full_image_dice_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    draw_curves({0: [epoch(1), epoch(2)]}, tmp_path / "without.png")
    draw_curves({0: [epoch(1, case=0.4), epoch(2, case=0.6)]}, tmp_path / "with.png")
    assert not (pixels(tmp_path / "without.png") == GREEN).all(axis=2).any()
    assert (pixels(tmp_path / "with.png") == GREEN).all(axis=2).sum() > 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["with.png", "without.png"]


@pytest.mark.slow
def test_one_column_per_fold(tmp_path: Path) -> None:
    rows = [epoch(1, dice=None), epoch(2)]
    draw_curves({0: rows}, tmp_path / "one.png")
    draw_curves({2: rows, 0: rows, 1: []}, tmp_path / "two.png")
    one, two = pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png")
    assert one.shape[0] == two.shape[0]
    assert 1.5 * one.shape[1] < two.shape[1] < 2 * one.shape[1]


def test_no_epochs_no_picture(tmp_path: Path) -> None:
    draw_curves({0: []}, tmp_path / "none.png")
    draw_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_fold_draws_itself_and_its_run_but_not_all_the_time(tmp_path: Path) -> None:
    now = [0.0]
    for k in range(2):
        folder = tmp_path / f"fold_{k}"
        folder.mkdir()
        (folder / "progress.jsonl").write_text(json.dumps(asdict(epoch(1))) + "\n")
    writer = CurvesWriter(tmp_path / "fold_0", 0, clock=lambda: now[0])
    writer.draw_sometimes()
    assert not (tmp_path / "fold_0" / "curves.png").exists()
    now[0] = 60.0
    writer.draw_sometimes()
    run, fold = pixels(tmp_path / "curves.png"), pixels(tmp_path / "fold_0" / "curves.png")
    assert run.shape[1] > 1.5 * fold.shape[1]
    (tmp_path / "curves.png").unlink()
    now[0] = 62.0
    writer.draw_sometimes()
    assert not (tmp_path / "curves.png").exists()
    writer.draw()
    assert (tmp_path / "curves.png").exists()


def test_pyplot_and_its_global_state_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A backend that needs a display would fail here, were one chosen.
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    draw_curves({0: [epoch(1)]}, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.filterwarnings("error")
def test_a_class_that_is_absent_leaves_a_gap(tmp_path: Path) -> None:
    rows = [
        dataclasses.replace(epoch(k), case_dice={"lumen": 0.6, "debris": value})
        for k, value in ((1, None), (2, 0.0), (3, None))
    ]
    draw_curves({0: rows}, tmp_path / "gap.png")
    # Never there: its line is empty, and no point lies at 1.
    never = [dataclasses.replace(row, case_dice={"lumen": 0.6, "debris": None}) for row in rows]
    draw_curves({0: never}, tmp_path / "never.png")
    assert (tmp_path / "gap.png").read_bytes() != (tmp_path / "never.png").read_bytes()


@pytest.mark.filterwarnings("error")
def test_long_class_names_leave_room_for_the_curves(tmp_path: Path) -> None:
    name = "vessel wall, far side, behind the calcified plaque"
    rows = [dataclasses.replace(epoch(k), case_dice={name: 0.5, "lumen": 0.6}) for k in (1, 2)]
    draw_curves({0: rows}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


@pytest.mark.filterwarnings("error")
def test_fonts_that_others_set_for_the_process_do_not_reach_the_picture(tmp_path: Path) -> None:
    folds = {0: [epoch(1), epoch(2)]}
    draw_curves(folds, tmp_path / "plain.png")
    # What nnU-Net's plot_progress_png leaves behind.
    with matplotlib.rc_context(
        {"font.size": 30, "axes.labelsize": 30, "axes.facecolor": "#EAEAF2"}
    ):
        draw_curves(folds, tmp_path / "again.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "again.png").read_bytes()
