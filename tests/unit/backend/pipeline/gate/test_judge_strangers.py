"""Challengers and champions that differ in classes or folds, or come from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from backend.pipeline.gate import champion
from backend.pipeline.gate.judge_run import evaluate_run
from backend.store.models import ProjectRow
from domain.case import case_id_of_task
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.gate.judging import (
    CLASSES,
    FakePredictor,
    add_challenger,
    dice_of_cases,
    entry,
    manifest_of,
    verdict_of,
    version_of,
    write_cases,
)
from training.case_files import write_case
from training.presets import FULL
from training.versions.version_folder import VersionInfo


@pytest.mark.parametrize(
    ("classes", "lumen", "is_promoted"),
    [
        (("lumen",), 0.1, False),  # wall is new; the lumen got lost
        (("lumen",), 0.9, True),
        (("lumen", "wall", "plaque"), 0.1, False),  # plaque is gone
        (("lumen", "wall", "plaque"), 0.9, True),
        (("vessel", "plaque"), 0.1, True),  # nothing in common
    ],
)
def test_after_a_change_of_labels_the_classes_in_common_are_compared(
    app: FakeApp,
    predictor: FakePredictor,
    classes: tuple[str, ...],
    lumen: float,
    is_promoted: bool,
) -> None:
    app.add_version(
        1,
        manifest=manifest_of(entry(1, 0), classes=classes),
        metrics={"dice_per_case": {"task_00000001": dict.fromkeys(classes, 0.9)}},
    )
    run_id = add_challenger(app, manifest_of(entry(1, 0)), dice_of_cases(task_00000001=lumen))
    assert evaluate_run(app.context, run_id, lambda: None) is is_promoted
    verdict = verdict_of(app, run_id)
    shared = [name for name in CLASSES if name in classes]
    assert [row.name for row in verdict.classes] == shared
    assert ("nothing to compare" in verdict.reason) is (not shared)
    assert ("not compared" in verdict.reason and "wall" in verdict.reason) is (
        classes == ("lumen",)
    )


def test_a_version_that_lacks_a_class_is_not_blamed_for_it(
    app: FakeApp, predictor: FakePredictor
) -> None:
    """The champion predicts anew what was labelled with a class it never knew."""
    app.add_version(1, manifest=manifest_of(entry(1, 0), classes=("lumen",)), metrics={})
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :1], truth[:, 6:] = 1, 2
    workspace = app.context.workspace(PROJECT)
    for task_id in (1, 2):
        name = case_id_of_task(task_id)
        write_case(workspace, name, np.zeros((8, 8), np.uint8), truth, n_channels=1)
    manifest = manifest_of(entry(1, 0, "now with a wall"), entry(2, 0))
    challenger = dice_of_cases(task_00000001=0.5, task_00000002=0.5)
    run_id = add_challenger(app, manifest, challenger)
    assert not evaluate_run(app.context, run_id, lambda: None)
    verdict = verdict_of(app, run_id)
    assert (verdict.champion, verdict.challenger) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("classes", "mapping", "known", "is_promoted", "reason"),
    [
        # A label came, one went: what both know decides.
        (("lumen",), {}, {"lumen": 0.9}, False, "mean Dice per image 0.100 against 0.900 of"),
        (("plaque", "lumen"), {}, {"lumen": 0.05, "plaque": 1.0}, True, "0.100 against 0.050"),
        # The champion can serve none of the labels of today.
        (("plaque",), {}, {"plaque": 0.9}, True, "nothing to compare: the version that serves"),
        # A rename that was told of, and one whose champion's classes became one: its numbers of
        # then say nothing about the two together.
        (("Lumen",), {"Lumen": "lumen"}, {"Lumen": 0.9}, False, "0.100 against 0.900"),
        (("a", "b"), {"a": "lumen", "b": "lumen"}, {"a": 0.9, "b": 0.9}, True, "against 0.000"),
    ],
)
def test_renamed_classes_are_the_same_ones(
    app: FakeApp,
    predictor: FakePredictor,
    classes: tuple[str, ...],
    mapping: dict[str, str],
    known: dict[str, float],
    is_promoted: bool,
    reason: str,
) -> None:
    app.add_version(
        1,
        manifest=manifest_of(entry(1, 0), classes=classes),
        metrics={"dice_per_case": {"task_00000001": known}},
    )
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = mapping
    workspace, truth = app.context.workspace(PROJECT), np.zeros((8, 8), np.uint8)
    truth[:, 4:] = 1  # fold 0 paints none of it
    write_case(workspace, case_id_of_task(1), np.zeros((8, 8), np.uint8), truth, n_channels=1)
    run_id = add_challenger(app, manifest_of(entry(1, 0)), dice_of_cases(task_00000001=0.1))
    assert evaluate_run(app.context, run_id, lambda: None) is is_promoted
    assert reason in verdict_of(app, run_id).reason
    assert predictor.asked == ([0] if len(mapping) == 2 else [])


@pytest.mark.parametrize(
    ("classes", "wall"),
    [
        (("lumen", "wall"), 1.0),
        # In another order: its class 1, painted where lumen is, is called wall.
        (("wall", "lumen"), 0.0),
    ],
)
def test_a_version_trained_elsewhere_is_measured_by_the_mean_of_its_folds(
    app: FakeApp,
    predictor: FakePredictor,
    monkeypatch: pytest.MonkeyPatch,
    classes: tuple[str, ...],
    wall: float,
) -> None:
    info = VersionInfo("theirs", classes, 1, FULL, (0, 1), {})
    monkeypatch.setattr(champion, "read_version", lambda _path: info)
    app.add_imported("theirs")
    write_cases(app, 1, 2)
    run_id = add_challenger(
        app,
        manifest_of(entry(1, 0), entry(2, 1)),
        dice_of_cases(task_00000001=0.3, task_00000002=0.3),
    )
    is_promoted = evaluate_run(app.context, run_id, lambda: None)
    gate_numbers = verdict_of(app, run_id)
    assert gate_numbers.champion == wall
    assert is_promoted is (wall < 0.3)
    assert predictor.asked.count(-1) == 2
    assert "theirs was trained elsewhere" in gate_numbers.reason
    measured = version_of(app, run_id).metrics.champion_dice
    assert measured is not None and measured.version == "theirs"
    assert set(measured.dice_per_case) == {"task_00000001", "task_00000002"}


@pytest.mark.parametrize("dice", [0.1, 0.995])
def test_a_foreign_version_that_lacks_a_class_is_compared_in_the_others(
    app: FakeApp, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch, dice: float
) -> None:
    info = VersionInfo("theirs", ("lumen",), 1, FULL, (0, 1), {})
    monkeypatch.setattr(champion, "read_version", lambda _path: info)
    app.add_imported("theirs")
    write_cases(app, 1)
    run_id = add_challenger(app, manifest_of(entry(1, 0)), dice_of_cases(task_00000001=dice))
    assert evaluate_run(app.context, run_id, lambda: None) is (dice > 0.9)


@pytest.mark.parametrize(
    ("champion_is", "serves_on"), [("measured", True), ("foreign", True), ("unmeasured", False)]
)
def test_a_version_nothing_is_known_of_replaces_only_its_like(
    app: FakeApp, predictor: FakePredictor, champion_is: str, serves_on: bool
) -> None:
    """All images are of one patient: one network, trained on everything."""
    manifest = manifest_of(entry(1, 0, group="p"), n_folds=1)
    if champion_is == "foreign":
        app.add_imported("theirs")
    else:
        dice = dice_of_cases(task_00000001=0.5) if champion_is == "measured" else {}
        app.add_version(1, manifest=manifest, metrics={"dice_per_case": dice})
    run_id = add_challenger(app, manifest, {})
    assert evaluate_run(app.context, run_id, lambda: None) is not serves_on
    verdict = verdict_of(app, run_id)
    assert "one group" in verdict.reason
    assert verdict.challenger is None
    assert predictor.asked == []


def test_a_version_trained_on_everything_is_measured_on_groups_it_has_not_seen(
    app: FakeApp, predictor: FakePredictor
) -> None:
    old = manifest_of(entry(1, 0, group="p"), n_folds=1)
    app.add_version(1, manifest=old, metrics={"dice_per_case": {}})
    write_cases(app, 1, 2)
    manifest = manifest_of(entry(1, 0, group="p"), entry(2, 1, group="q"))
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000001=0.9, task_00000002=0.9))
    assert not evaluate_run(app.context, run_id, lambda: None)
    verdict = verdict_of(app, run_id)
    assert (verdict.n_cases, verdict.champion) == (1, 1.0)
    assert "without 1 of 2 cases, which nnloop-v1 or a version before it was trained on" in (
        verdict.reason
    )


def test_a_champion_with_fewer_folds_is_measured_on_new_cases_all_the_same(
    app: FakeApp, predictor: FakePredictor
) -> None:
    app.add_version(1, manifest=manifest_of(entry(1, 0)), metrics={})
    write_cases(app, 9)
    manifest = manifest_of(entry(9, 4), n_folds=5)
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000009=0.9))
    evaluate_run(app.context, run_id, lambda: None)
    assert predictor.asked == [0]  # fold 4 of 5 falls on one of the two that there are
