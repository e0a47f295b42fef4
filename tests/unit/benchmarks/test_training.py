"""Arguments and summaries of the benchmarks that train; the training itself is not run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gate, gpu, quality, sides, warmstart
from benchmarks.material.shared_data import Project, write_project
from benchmarks.material.side_images import CLASS_NAMES, write_folder
from converters.bookkeeping.files import read_json, write_bytes, write_json
from converters.images.image_pixels import write_png
from tests.fakes.documents import fold_result
from training.case_files import read_image
from training.folds.spec import VALIDATION
from training.workspace import Workspace


def test_dice_is_pooled_over_folds_and_counted_where_a_class_is_present() -> None:
    per_case = {
        1: {"b": {"nerve": 0.5, "vessel": 1.0}},
        0: {"a": {"nerve": 0.7, "vessel": 0.4}, "c": {"nerve": 0.9, "vessel": 0.8}},
    }
    present = {"a": frozenset({"nerve", "vessel"}), "b": frozenset({"nerve"})}
    summary = quality.summarise(per_case, present | {"c": present["a"]})
    assert summary.dice == {"nerve": 0.7, "vessel": 0.7333}
    assert summary.dice_present == {"nerve": 0.7, "vessel": 0.6}
    assert summary.dice_folds == {
        0: {"nerve": 0.8, "vessel": 0.6},
        1: {"nerve": 0.5, "vessel": 1.0},
    }
    assert summary.mean == pytest.approx(0.7167, abs=1e-4)


def test_a_class_in_no_image_has_no_figure_in_a_summary() -> None:
    present = {"a": frozenset({"nerve"}), "b": frozenset[str]()}
    rows: dict[str, dict[str, float | None]] = {
        "a": {"nerve": 0.7, "vessel": None},
        "b": {"nerve": None, "vessel": None},
    }
    summary = quality.summarise({0: rows}, present)
    assert summary.dice == {"nerve": 0.7, "vessel": None}
    assert summary.dice_present == {"nerve": 0.7}
    assert summary.mean == 0.7


def test_three_folds_on_two_workers_get_half_the_budget_each() -> None:
    clock = quality.FoldClock(600.0, 3, workers=2)
    assert clock.start(0) == pytest.approx(300, abs=1)
    assert clock.start(1) == pytest.approx(300, abs=1)
    clock.end(0)
    # The first fold was quick: what it left goes to the third.
    assert clock.start(2) == pytest.approx(600, abs=1)


def test_nnunets_predictions_take_no_time_from_its_later_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    budgets: dict[int, float] = {}

    def train_and_predict(command: list[str], **_: object) -> None:
        spec = read_json(Path(command[-1]))
        budgets[spec["fold"]] = spec["budget_s"]
        now[0] += 10_000.0
        write_json(Path(spec["out"]), {"steps": 1, "dice_per_case": {}, "dice_per_class": {}})

    monkeypatch.setattr("benchmarks.quality.WORKERS", 2)
    monkeypatch.setattr("benchmarks.quality.subprocess.run", train_and_predict)
    monkeypatch.setattr("benchmarks.quality.time.monotonic", lambda: now[0])
    project = Project(Workspace(tmp_path, 1), (), ("a",), 1, {})
    quality.train_plain(project, (0, 1, 2), 600.0)
    assert budgets == {0: 300.0, 1: 300.0, 2: 300.0}


@pytest.mark.parametrize("arguments", [["--budget", "0"], ["--folds", "1"]])
def test_senseless_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert "must be" in capsys.readouterr().err


def test_more_earlier_cases_than_cases_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        warmstart.main(["--cases", "10", "--earlier", "11"])
    assert "--earlier 11" in capsys.readouterr().err


def test_the_best_warm_start_is_the_one_that_gains_most_over_scratch() -> None:
    dice = {
        "one": {"scratch": [0.5, 0.6], "warm": [0.6, 0.5], "shrink": [0.6, 0.7]},
        "two": {"scratch": [0.8, 0.8], "warm": [0.7, 0.7], "shrink": [0.8, 0.9]},
    }
    summary = warmstart.summarise(dice)
    assert summary["gain"] == {"warm": -0.05, "shrink": 0.075}
    assert summary["wins"] == {"warm": 0.25, "shrink": 0.75}
    assert summary["best"] == "shrink"
    assert summary["mean"]["one"] == {"scratch": 0.55, "warm": 0.55, "shrink": 0.65}
    worse = {"one": {"scratch": [0.5], "warm": [0.4]}}
    assert warmstart.summarise(worse)["best"] == "scratch"
    assert "| one | warm | 0.600 | 0.500 | 0.550 |" in warmstart.to_markdown(dice)


def test_a_folder_of_images_becomes_a_project(tmp_path: Path) -> None:
    import cv2

    for i in range(4):
        for name, array in (("images", np.full((8, 9, 3), i)), ("masks", np.full((8, 9), i % 3))):
            path = tmp_path / "data" / name / f"{i}.png"
            write_bytes(path, bytes(cv2.imencode(".png", array.astype(np.uint8))[1]))
    project = write_project(tmp_path / "data", tmp_path / "root", n_folds=2)
    assert (len(project.cases), project.n_channels) == (4, 3)
    assert project.class_values == ("class_1", "class_2")
    assert set(project.folds.values()) == {0, 1}
    np.testing.assert_array_equal(project.truth("2"), np.full((8, 9), 2))
    assert read_image(project.cases[0].image_pngs[0]).shape == (8, 9, 3)
    fewer = write_project(tmp_path / "data", tmp_path / "other", n_folds=2, n_cases=3)
    assert {c.case_id for c in fewer.cases} < {c.case_id for c in project.cases}


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="images/ and masks/"):
        write_project(tmp_path, tmp_path / "root", n_folds=2)


def test_a_gate_that_is_asked_by_equals_refuses_some_and_by_far_worse_ones_all() -> None:
    rng = np.random.default_rng(0)
    equal = [gate.play(gate.Loop(5, True, 0.0, 0.08), rng) for _ in range(10)]
    worse = [gate.play(gate.Loop(12, False, -0.3, 0.08), rng) for _ in range(5)]
    found = gate.rates(gate.Loop(12, False, -0.3, 0.08), worse)
    assert found == {"refused": 1.0, "refused_5": 1.0, "first_5_refused": 1.0, "serves_5": 0.0}
    assert all(len(one.promoted) == gate.RUNS for one in equal)
    assert 0 < sum(sum(one.promoted) for one in equal) < 10 * gate.RUNS
    assert gate.Played((True, False, False, True, False)).longest_wait == 2


def test_cells_end_where_they_are_used_up() -> None:
    cells = warmstart.Cells(1)
    cells.take()
    with pytest.raises(warmstart.OutOfCellsError):
        cells.take()
    warmstart.Cells(None).take()


def test_the_paired_test_counts_every_choice_of_signs() -> None:
    assert warmstart.sign_flip([0.1] * 9) == 2 / 2**9
    assert warmstart.sign_flip([0.1, -0.1]) == 1.0
    assert warmstart.sign_flip([0.0, 0.0]) == 1.0


@pytest.mark.slow
def test_generated_trunks_are_what_the_product_decides_on(tmp_path: Path) -> None:
    """Both names of the same pictures: the flip is left out, or exchanges the lungs."""
    write_folder(tmp_path / "trunks", 12, seed=3)
    project = write_project(tmp_path / "trunks", tmp_path / "work", n_folds=3)
    unnamed = sides.decided(replace(project, class_values=sides.UNNAMED), "auto")
    assert (unnamed.flips, unnamed.swaps) == ((0,), ())
    named = sides.decided(replace(project, class_values=CLASS_NAMES), "auto")
    assert (named.flips, named.swaps) == ((0, 1), ((1, 2, 1),))


def test_the_share_on_the_wrong_side_is_of_the_pairs_pixels(tmp_path: Path) -> None:
    write_folder(tmp_path / "trunks", 3, seed=3)
    project = write_project(tmp_path / "trunks", tmp_path / "work", n_folds=3)
    result = fold_result(fold=0)
    folder = project.workspace.fold_dir("run", 0) / VALIDATION
    folder.mkdir(parents=True)
    for number, case in enumerate(project.cases):
        truth = project.truth(case.case_id)
        # All right, the pair exchanged, and lost: nobody's side.
        becomes = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 0, 0, 0]], np.uint8)[number]
        write_png(folder / f"{case.case_id}.png", becomes[truth])
    counts = [int(np.isin(project.truth(case.case_id), (1, 2)).sum()) for case in project.cases]
    assert sides.wrong_side(project, "run", result, (1, 2)) == counts[1] / sum(counts)


def test_without_a_gpu_its_benchmark_says_so_and_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == gpu.NO_GPU == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count(".") == 1
