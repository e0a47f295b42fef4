from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backend.pipeline.gate import champion, judge_run
from backend.pipeline.gate.judge_run import evaluate_run
from backend.pipeline.gate.verdict import DicePerCase
from backend.pipeline.predictions.publish import publish
from backend.store.models import FoldRow, PredictionRow, ProjectRow, VersionRow
from backend.store.training import versions
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.gate_verdict import Verdict
from domain.states import FoldStatus, RunStatus, VersionOrigin, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest
from tests.fakes.maps import maps_of
from training.case_files import write_case
from training.nnunet.inference.maps import FoldMaps
from training.presets import FULL
from training.versions.manifests import EnsembleManifest, RunManifest
from training.versions.metrics import VersionMetrics
from training.versions.version_folder import VersionInfo

CLASSES = ("lumen", "wall")


def _dice(**values: float) -> DicePerCase:
    return {case: {"lumen": value, "wall": value} for case, value in values.items()}


class FakePredictor:
    """Paints class 1 on the left ``fold + 1`` columns, so that its Dice tells the fold."""

    folds = (0, 1)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict_single_fold(self, image: npt.NDArray[Any], fold: int) -> npt.NDArray[np.float32]:
        self.asked.append(fold)
        result = np.zeros((3, *image.shape[:2]), np.float32)
        result[0] = 0.5
        result[1, :, : fold + 1] = 1.0
        return result

    def predict(self, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Fold 1 is surer than fold 0, so the mean paints as it does."""
        self.asked.append(-1)
        surer = np.array([1.0, 4.0], np.float32)[:, None, None, None]
        return surer * np.stack([self.predict_single_fold(image, fold) for fold in self.folds])

    def predict_maps(self, image: npt.NDArray[Any]) -> FoldMaps:
        return maps_of(self.predict(image))


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    fake = FakePredictor()
    monkeypatch.setattr(judge_run, "warm_predictor", lambda *_args: fake)
    monkeypatch.setattr(judge_run, "package_version", lambda *_args, **_more: Path("/models/v"))
    monkeypatch.setattr(judge_run, "prune_quietly", lambda *_args: None)
    return fake


def _entry(task_id: int, fold: int, text: str = "same", group: str = "") -> ManifestEntry:
    case_id = case_id_of_task(task_id)
    return ManifestEntry(case_id, task_id, task_id, text, group or case_id, fold)


def _manifest(
    *entries: ManifestEntry, classes: tuple[str, ...] = CLASSES, n_folds: int = 2
) -> RunManifest:
    manifest = Manifest(entries, class_values=classes, n_folds=n_folds)
    return run_manifest(manifest)


def _challenger(app: FakeApp, manifest: RunManifest, dice: DicePerCase) -> int:
    run_id = app.add_run(RunStatus.EVALUATING, 2, manifest=manifest)
    with app.store.begin() as session:
        result = fold_result(dice, warm_started=True)
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.DONE, result=result))
        session.add(FoldRow(run_id=run_id, fold=1, status=FoldStatus.DONE))
    return run_id


def _version(app: FakeApp, run_id: int) -> VersionRow:
    with app.store.begin() as session:
        version = versions.version_of_run(session, run_id)
        assert version is not None
        return version


def _verdict(app: FakeApp, run_id: int) -> Verdict:
    verdict = _version(app, run_id).metrics.gate
    assert verdict is not None
    return verdict


def test_the_first_version_is_promoted(app: FakeApp, predictor: FakePredictor) -> None:
    run_id = _challenger(app, _manifest(_entry(1, 0)), _dice(task_00000001=0.2))
    assert evaluate_run(app.context, run_id, lambda: None)
    version = _version(app, run_id)
    assert (version.name, version.status) == ("nnloop-v2", VersionStatus.CHAMPION)
    assert version.metrics.oof_dice == {"lumen": 0.2, "wall": 0.2}
    assert version.metrics.labels == 1
    assert version.metrics.warm_started == (0,)
    assert predictor.asked == []


def test_each_case_is_predicted_by_the_fold_that_held_it_out(
    app: FakeApp, predictor: FakePredictor
) -> None:
    known = _dice(task_00000001=0.9, task_00000002=0.8)
    app.add_version(
        1,
        manifest=_manifest(_entry(1, 0), _entry(2, 1), _entry(3, 1), _entry(4, 0, group="p")),
        metrics={"dice_per_case": known},
    )
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :2] = 1
    for task_id in (2, 3, 5, 6):
        write_case(
            app.context.workspace(PROJECT),
            case_id_of_task(task_id),
            np.zeros((8, 8), np.uint8),
            truth,
            n_channels=1,
        )
    manifest = _manifest(
        _entry(1, 0),  # unchanged: its number is known
        _entry(2, 0, "corrected", group="q"),  # in a group now, whose fold has seen it
        _entry(3, 1),  # unchanged, but never measured
        _entry(5, 1, group="p"),  # new, of a patient that fold 0 held out
        _entry(6, 1),  # new
    )
    challenger: DicePerCase = {
        case_id_of_task(i): {"lumen": 0.9, "wall": 0.9} for i in (1, 2, 3, 5, 6)
    }
    beats: list[bool] = []
    run_id = _challenger(app, manifest, challenger)
    evaluate_run(app.context, run_id, lambda: beats.append(True))
    assert predictor.asked == [1, 1, 0, 1]
    assert len(beats) == 4
    verdict = _verdict(app, run_id)
    assert verdict.n_cases == 5
    # Fold 1 paints the truth (Dice 1), fold 0 half of it (2/3); wall is absent from both.
    lumen = [0.9, 1.0, 1.0, 2 / 3, 1.0]
    assert verdict.champion == pytest.approx(np.mean(lumen))
    assert verdict.classes[1].champion == 0.9


def test_a_worse_version_does_not_serve(app: FakeApp, predictor: FakePredictor) -> None:
    manifest = _manifest(_entry(1, 0))
    old = app.add_version(1, manifest=manifest, metrics={"dice_per_case": _dice(task_00000001=0.9)})
    run_id = _challenger(app, manifest, _dice(task_00000001=0.5))
    assert not evaluate_run(app.context, run_id, lambda: None)
    assert _version(app, run_id).status == VersionStatus.REJECTED
    with app.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None and champion.id == old


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
        manifest=_manifest(_entry(1, 0), classes=classes),
        metrics={"dice_per_case": {"task_00000001": dict.fromkeys(classes, 0.9)}},
    )
    run_id = _challenger(app, _manifest(_entry(1, 0)), _dice(task_00000001=lumen))
    assert evaluate_run(app.context, run_id, lambda: None) is is_promoted
    verdict = _verdict(app, run_id)
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
    app.add_version(1, manifest=_manifest(_entry(1, 0), classes=("lumen",)), metrics={})
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :1], truth[:, 6:] = 1, 2
    workspace = app.context.workspace(PROJECT)
    for task_id in (1, 2):
        name = case_id_of_task(task_id)
        write_case(workspace, name, np.zeros((8, 8), np.uint8), truth, n_channels=1)
    manifest = _manifest(_entry(1, 0, "now with a wall"), _entry(2, 0))
    challenger = _dice(task_00000001=0.5, task_00000002=0.5)
    run_id = _challenger(app, manifest, challenger)
    assert not evaluate_run(app.context, run_id, lambda: None)
    verdict = _verdict(app, run_id)
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
        manifest=_manifest(_entry(1, 0), classes=classes),
        metrics={"dice_per_case": {"task_00000001": known}},
    )
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = mapping
    workspace, truth = app.context.workspace(PROJECT), np.zeros((8, 8), np.uint8)
    truth[:, 4:] = 1  # fold 0 paints none of it
    write_case(workspace, case_id_of_task(1), np.zeros((8, 8), np.uint8), truth, n_channels=1)
    run_id = _challenger(app, _manifest(_entry(1, 0)), _dice(task_00000001=0.1))
    assert evaluate_run(app.context, run_id, lambda: None) is is_promoted
    assert reason in _verdict(app, run_id).reason
    assert predictor.asked == ([0] if len(mapping) == 2 else [])


@pytest.mark.parametrize("dice", [0.95, 0.1])
def test_evaluating_twice_changes_nothing(
    app: FakeApp, predictor: FakePredictor, dice: float
) -> None:
    manifest = _manifest(_entry(1, 0))
    app.add_version(1, manifest=manifest, metrics={"dice_per_case": _dice(task_00000001=0.9)})
    run_id = _challenger(app, manifest, _dice(task_00000001=dice))
    first = evaluate_run(app.context, run_id, lambda: None)
    assert first is (dice > 0.9)
    assert evaluate_run(app.context, run_id, lambda: None) is first
    with app.store.begin() as session:
        assert len(versions.versions_of(session, PROJECT)) == 2


def _write_cases(app: FakeApp, *task_ids: int) -> None:
    """Cases whose truth is what fold 1 paints."""
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :2] = 1
    for task_id in task_ids:
        image = np.zeros((8, 8), np.uint8)
        workspace = app.context.workspace(PROJECT)
        write_case(workspace, case_id_of_task(task_id), image, truth, n_channels=1)


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
    _write_cases(app, 1, 2)
    run_id = _challenger(
        app,
        _manifest(_entry(1, 0), _entry(2, 1)),
        _dice(task_00000001=0.3, task_00000002=0.3),
    )
    is_promoted = evaluate_run(app.context, run_id, lambda: None)
    gate_numbers = _verdict(app, run_id)
    assert gate_numbers.champion == wall
    assert is_promoted is (wall < 0.3)
    assert predictor.asked.count(-1) == 2
    assert "theirs was trained elsewhere" in gate_numbers.reason
    measured = _version(app, run_id).metrics.champion_dice
    assert measured is not None and measured.version == "theirs"
    assert set(measured.dice_per_case) == {"task_00000001", "task_00000002"}


@pytest.mark.parametrize("dice", [0.1, 0.995])
def test_a_foreign_version_that_lacks_a_class_is_compared_in_the_others(
    app: FakeApp, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch, dice: float
) -> None:
    info = VersionInfo("theirs", ("lumen",), 1, FULL, (0, 1), {})
    monkeypatch.setattr(champion, "read_version", lambda _path: info)
    app.add_imported("theirs")
    _write_cases(app, 1)
    run_id = _challenger(app, _manifest(_entry(1, 0)), _dice(task_00000001=dice))
    assert evaluate_run(app.context, run_id, lambda: None) is (dice > 0.9)


@pytest.mark.parametrize(
    ("champion_is", "serves_on"), [("measured", True), ("foreign", True), ("unmeasured", False)]
)
def test_a_version_nothing_is_known_of_replaces_only_its_like(
    app: FakeApp, predictor: FakePredictor, champion_is: str, serves_on: bool
) -> None:
    """All images are of one patient: one network, trained on everything."""
    manifest = _manifest(_entry(1, 0, group="p"), n_folds=1)
    if champion_is == "foreign":
        app.add_imported("theirs")
    else:
        dice = _dice(task_00000001=0.5) if champion_is == "measured" else {}
        app.add_version(1, manifest=manifest, metrics={"dice_per_case": dice})
    run_id = _challenger(app, manifest, {})
    assert evaluate_run(app.context, run_id, lambda: None) is not serves_on
    verdict = _verdict(app, run_id)
    assert "one group" in verdict.reason
    assert verdict.challenger is None
    assert predictor.asked == []


def test_a_version_trained_on_everything_is_measured_on_groups_it_has_not_seen(
    app: FakeApp, predictor: FakePredictor
) -> None:
    old = _manifest(_entry(1, 0, group="p"), n_folds=1)
    app.add_version(1, manifest=old, metrics={"dice_per_case": {}})
    _write_cases(app, 1, 2)
    manifest = _manifest(_entry(1, 0, group="p"), _entry(2, 1, group="q"))
    run_id = _challenger(app, manifest, _dice(task_00000001=0.9, task_00000002=0.9))
    assert not evaluate_run(app.context, run_id, lambda: None)
    verdict = _verdict(app, run_id)
    assert (verdict.n_cases, verdict.champion) == (1, 1.0)
    assert "without 1 of 2 cases, which nnloop-v1 or a version before it was trained on" in (
        verdict.reason
    )


def test_the_verdict_holds_for_the_version_that_serves_at_its_end(
    app: FakeApp, predictor: FakePredictor
) -> None:
    """A person rolls back while the challenger is measured against the version that served."""
    manifest = _manifest(_entry(1, 0), _entry(2, 1))
    known = {"task_00000001": {"lumen": 0.2, "wall": 0.2}}
    old = app.add_version(1, manifest=manifest, metrics={"dice_per_case": {**known}})
    app.add_version(3, manifest=manifest, metrics={"dice_per_case": {}})
    _write_cases(app, 1, 2)
    run_id = _challenger(app, manifest, _dice(task_00000001=0.5))

    def roll_back() -> None:
        with app.store.begin() as session:
            versions.promote(session, session.get_one(VersionRow, old))

    evaluate_run(app.context, run_id, roll_back)
    verdict = _verdict(app, run_id)
    assert verdict.champion == pytest.approx(0.2)  # not version 3's 5/6
    assert verdict.is_promoted


def test_no_figures_stay_of_a_version_that_served_before_the_verdict(
    app: FakeApp, predictor: FakePredictor
) -> None:
    """The version a person goes back to has other classes, so it can't be measured."""
    other = app.add_version(1, manifest=_manifest(_entry(1, 0), classes=("bone",)), metrics={})
    manifest = _manifest(_entry(1, 0), _entry(2, 1))
    app.add_version(3, manifest=manifest, metrics={"dice_per_case": {}})
    _write_cases(app, 1, 2)
    run_id = _challenger(app, manifest, _dice(task_00000001=0.5))

    def roll_back() -> None:
        with app.store.begin() as session:
            versions.promote(session, session.get_one(VersionRow, other))

    evaluate_run(app.context, run_id, roll_back)
    metrics = _version(app, run_id).metrics
    assert _verdict(app, run_id).champion is None
    assert metrics.champion_dice is None
    assert predictor.asked  # version 3 had been measured


def test_a_champion_with_fewer_folds_is_measured_on_new_cases_all_the_same(
    app: FakeApp, predictor: FakePredictor
) -> None:
    app.add_version(1, manifest=_manifest(_entry(1, 0)), metrics={})
    _write_cases(app, 9)
    manifest = _manifest(_entry(9, 4), n_folds=5)
    run_id = _challenger(app, manifest, _dice(task_00000009=0.9))
    evaluate_run(app.context, run_id, lambda: None)
    assert predictor.asked == [0]  # fold 4 of 5 falls on one of the two that there are


def test_a_challenger_that_is_refused_leaves_the_published_predictions(
    app: FakeApp, predictor: FakePredictor
) -> None:
    manifest = _manifest(_entry(1, 0))
    old = app.add_version(1, manifest=manifest, metrics={"dice_per_case": _dice(task_00000001=0.9)})
    app.add_tasks(7)
    with app.store.begin() as session:
        session.add(PredictionRow(project_id=PROJECT, task_id=7, version_id=old, result=[]))
    publish(app.context, PROJECT)
    run_id = _challenger(app, manifest, _dice(task_00000001=0.2))
    assert not evaluate_run(app.context, run_id, lambda: None)
    publish(app.context, PROJECT)
    held = [(row.task_id, row.model_version) for row in app.label_studio.predictions]
    assert held == [(7, "nnloop-v1")]
    assert app.label_studio.info.model_version == "nnloop-v1"


def test_an_ensemble_is_challenged_like_any_champion(
    app: FakeApp, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folds, manifest and numbers stand in its own row; a case all have seen is left out."""
    info = VersionInfo("nnloop-e1", CLASSES, 1, FULL, (0, 1), {}, members=("a", "b"))
    monkeypatch.setattr(champion, "read_version", lambda _path: info)
    version_id = app.add_imported("nnloop-e1")
    old = _manifest(_entry(1, 0), _entry(2, 1), _entry(3, -1))
    with app.store.begin() as session:
        row = session.get_one(VersionRow, version_id)
        row.origin = VersionOrigin.ENSEMBLE
        row.manifest = EnsembleManifest(
            old.entries, (), old.class_values, old.n_folds, group_key=None, members={}
        )
        row.metrics = VersionMetrics(dice_per_case=_dice(task_00000001=0.9), remark="b is foreign")
    _write_cases(app, 1, 2, 3)
    new = _manifest(_entry(1, 0), _entry(2, 1), _entry(3, 1))
    dice = _dice(task_00000001=0.3, task_00000002=0.3, task_00000003=0.3)
    run_id = _challenger(app, new, dice)
    assert not evaluate_run(app.context, run_id, lambda: None)
    assert predictor.asked == [1]
    reason = _verdict(app, run_id).reason
    assert "on the same 2 held-out cases" in reason and "b is foreign" in reason


def test_a_version_is_made_without_a_fold_that_had_no_time(
    app: FakeApp, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[tuple[int, ...]] = []

    def pack(_workspace: object, _run: object, info: VersionInfo, **_more: object) -> Path:
        packed.append(info.folds)
        return Path("/models/v")

    monkeypatch.setattr(judge_run, "package_version", pack)
    manifest = _manifest(*(_entry(i, i - 1) for i in (1, 2, 3)), n_folds=3)
    run_id = app.add_run(RunStatus.EVALUATING, 2, manifest=manifest)
    with app.store.begin() as session:
        for fold, (steps, dice) in enumerate([(300, 0.8), (40, 0.2), (310, 0.9)]):
            result = fold_result(
                _dice(**{case_id_of_task(fold + 1): dice}),
                fold=fold,
                steps=steps,
                stopped="budget",
            )
            row = FoldRow(run_id=run_id, fold=fold, status=FoldStatus.DONE, result=result)
            session.add(row)
    assert evaluate_run(app.context, run_id, lambda: None)
    assert packed == [(0, 2)]
    metrics = _version(app, run_id).metrics
    # Nothing of it enters the figures either: they are those of the folds that predict.
    assert metrics.oof_dice == {"lumen": pytest.approx(0.85), "wall": pytest.approx(0.85)}
    assert metrics.remark == (
        "nnloop-v2 is made of 2 of 3 folds, for want of training time for fold 1 (40 steps, "
        "Dice 0.20)"
    )
