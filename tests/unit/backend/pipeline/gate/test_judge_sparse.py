"""Two versions before the gate, of which one learned from cases with ignored pixels."""

from __future__ import annotations

import numpy as np
import pytest

from backend.pipeline.gate.judge_run import evaluate_run
from domain.case import case_id_of_task
from domain.geometry import LabelMap
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.gate.judging import (
    FakePredictor,
    add_challenger,
    entry,
    manifest_of,
    verdict_of,
    version_of,
)
from training.case_files import write_case

CASES = (1, 2)
NAMES = [case_id_of_task(n) for n in CASES]


def plain() -> LabelMap:
    """Class 1 on two columns: fold 0 finds half of it, fold 1 all."""
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :2] = 1
    return truth


def sparse(classes: int) -> LabelMap:
    """Only the first column and the last are known: both folds are right there."""
    truth = np.full((8, 8), classes + 1, np.uint8)
    truth[:, 0], truth[:, -1] = 1, 0
    return truth


def judged(
    app: FakeApp,
    truth: LabelMap,
    *,
    before: str,
    now: str,
    old: tuple[str, ...] = ("lumen", "wall"),
    new: tuple[str, ...] = ("lumen", "wall"),
) -> list[float | None]:
    """The champion's Dice of lumen, fold by fold, beside a challenger that is always right."""
    known = {name: dict.fromkeys(old, 0.5) for name in NAMES}
    entries = [entry(n, n - 1, before) for n in CASES]
    app.add_version(
        1, manifest=manifest_of(*entries, classes=old), metrics={"dice_per_case": known}
    )
    for n in CASES:
        workspace = app.context.workspace(PROJECT)
        write_case(workspace, case_id_of_task(n), np.zeros((8, 8), np.uint8), truth, n_channels=1)
    manifest = manifest_of(*(entry(n, n - 1, now) for n in CASES), classes=new)
    perfect = {name: {"lumen": 1.0, **dict.fromkeys(new[1:])} for name in NAMES}
    run_id = add_challenger(app, manifest, perfect)
    evaluate_run(app.context, run_id, lambda: None)
    verdict = verdict_of(app, run_id)
    found = version_of(app, run_id).metrics.champion_dice
    assert found is not None
    # Wall is in no known pixel: it says nothing, of neither.
    assert (
        all(scores.get("wall") is None for scores in found.dice_per_case.values()) or before == now
    )
    assert verdict.n_cases == len(CASES)
    return [found.dice_per_case[name]["lumen"] for name in NAMES]


def test_a_truth_that_ignores_pixels_now_is_measured_anew(
    app: FakeApp, predictor: FakePredictor
) -> None:
    assert judged(app, sparse(2), before="all known", now="some ignored") == [1.0, 1.0]
    assert predictor.asked == [0, 1]


def test_a_truth_that_ignores_nothing_any_more_is_measured_anew(
    app: FakeApp, predictor: FakePredictor
) -> None:
    found = judged(app, plain(), before="some ignored", now="all known")
    assert found == [pytest.approx(2 / 3), 1.0]


def test_what_has_not_changed_is_taken_from_its_own_training(
    app: FakeApp, predictor: FakePredictor
) -> None:
    assert judged(app, sparse(2), before="some ignored", now="some ignored") == [0.5, 0.5]
    assert predictor.asked == []


def test_a_class_that_is_ignored_now(app: FakeApp, predictor: FakePredictor) -> None:
    """The champion drew 'wall' as a class; its integer is that of ignored pixels by now."""
    found = judged(app, sparse(1), before="a", now="b", new=("lumen",))
    assert found == [1.0, 1.0]


def test_a_class_that_came_moves_the_integer_of_ignored_pixels(
    app: FakeApp, predictor: FakePredictor
) -> None:
    new = ("lumen", "wall", "stone")
    assert judged(app, sparse(3), before="a", now="b", new=new) == [1.0, 1.0]
