from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backend.pipeline import gate
from backend.pipeline.gate import DicePerCase, evaluate_run, judge
from backend.store import runs
from backend.store.models import FoldRow, VersionRow
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.status import FoldStatus, RunStatus, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from training.cases import write_case

CLASSES = ("lumen", "wall")


def _dice(**values: float) -> DicePerCase:
    return {case: {"lumen": value, "wall": value} for case, value in values.items()}


@pytest.mark.parametrize(
    ("challenger", "champion", "is_promoted", "means", "n_cases"),
    [
        # The first version needs no better one.
        (_dice(a=0.1), None, True, (0.1, None), 1),
        (_dice(a=0.8, b=0.8), _dice(a=0.7, b=0.7), True, (0.8, 0.7), 2),
        (_dice(a=0.80), _dice(a=0.81), True, (0.80, 0.81), 1),  # within the margin
        (_dice(a=0.80), _dice(a=0.83), False, (0.80, 0.83), 1),
        # Only what both were measured on counts: c would have tipped it.
        (_dice(a=0.5, c=1.0), _dice(a=0.6, d=0.0), False, (0.5, 0.6), 1),
        # Other classes: nothing in common, and the old version can't serve the new labels.
        (_dice(a=0.3), {}, True, (0.3, None), 1),
        (_dice(a=0.3), _dice(b=0.9), True, (0.3, None), 1),
    ],
)
def test_judge(
    challenger: DicePerCase,
    champion: DicePerCase | None,
    is_promoted: bool,
    means: tuple[float, float | None],
    n_cases: int,
) -> None:
    verdict = judge(challenger, champion, margin=0.011)
    assert verdict.is_promoted is is_promoted
    assert (verdict.challenger, verdict.champion) == pytest.approx(means)
    assert verdict.n_cases == n_cases
    assert ("first version" in verdict.reason) is (champion is None)


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


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    fake = FakePredictor()
    monkeypatch.setattr(gate, "load_cached", lambda *_args, **_more: fake)
    monkeypatch.setattr(gate, "package_version", lambda *_args, **_more: Path("/models/v"))
    return fake


def _entry(task_id: int, fold: int, text: str = "same", group: str = "") -> ManifestEntry:
    case_id = case_id_of_task(task_id)
    return ManifestEntry(case_id, task_id, task_id, text, group or case_id, fold)


def _manifest(*entries: ManifestEntry, classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    manifest = Manifest(entries, class_values=classes, n_folds=2)
    return {**manifest.to_json(), "n_channels": 1, "preset": "tiny"}


def _challenger(app: FakeApp, manifest: dict[str, Any], dice: DicePerCase) -> int:
    run_id = app.add_run(RunStatus.EVALUATING, 2, manifest=manifest)
    with app.store.begin() as session:
        result = {"dice_per_case": dice, "warm_started": True}
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.DONE, result=result))
        session.add(FoldRow(run_id=run_id, fold=1, status=FoldStatus.DONE, result={}))
    return run_id


def _version(app: FakeApp, run_id: int) -> VersionRow:
    with app.store.begin() as session:
        version = runs.version_of_run(session, run_id)
        assert version is not None
        return version


def test_the_first_version_is_promoted(app: FakeApp, predictor: FakePredictor) -> None:
    run_id = _challenger(app, _manifest(_entry(1, 0)), _dice(task_00000001=0.2))
    assert evaluate_run(app.context, run_id, lambda: None)
    version = _version(app, run_id)
    assert (version.name, version.status) == ("nnloop-v2", VersionStatus.CHAMPION)
    assert version.metrics["oof_dice"] == {"lumen": 0.2, "wall": 0.2}
    assert version.metrics["labels"] == 1
    assert version.metrics["warm_started"] == [0]
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
    challenger = {case_id_of_task(i): {"lumen": 0.9, "wall": 0.9} for i in (1, 2, 3, 5, 6)}
    beats: list[bool] = []
    run_id = _challenger(app, manifest, challenger)
    evaluate_run(app.context, run_id, lambda: beats.append(True))
    assert predictor.asked == [1, 1, 0, 1]
    assert len(beats) == 5
    verdict = _version(app, run_id).metrics["gate"]
    assert verdict["n_cases"] == 5
    # Fold 1 paints the truth (Dice 1), fold 0 half of it (2/3); wall is absent from both (1).
    lumen = [0.9, 1.0, 1.0, 2 / 3, 1.0]
    wall = [0.9, 1.0, 1.0, 1.0, 1.0]
    assert verdict["champion"] == pytest.approx(np.mean(np.mean([lumen, wall], axis=0)))


def test_a_worse_version_does_not_serve(app: FakeApp, predictor: FakePredictor) -> None:
    manifest = _manifest(_entry(1, 0))
    old = app.add_version(1, manifest=manifest, metrics={"dice_per_case": _dice(task_00000001=0.9)})
    run_id = _challenger(app, manifest, _dice(task_00000001=0.5))
    assert not evaluate_run(app.context, run_id, lambda: None)
    assert _version(app, run_id).status == VersionStatus.REJECTED
    with app.store.begin() as session:
        champion = runs.champion(session, PROJECT)
        assert champion is not None and champion.id == old


def test_after_a_change_of_labels_the_new_version_serves(
    app: FakeApp, predictor: FakePredictor
) -> None:
    app.add_version(
        1,
        manifest=_manifest(_entry(1, 0), classes=("lumen",)),
        metrics={"dice_per_case": {"task_00000001": {"lumen": 1.0}}},
    )
    run_id = _challenger(app, _manifest(_entry(1, 0)), _dice(task_00000001=0.1))
    assert evaluate_run(app.context, run_id, lambda: None)
    assert "nothing to compare" in _version(app, run_id).metrics["gate"]["reason"]


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
        assert len(runs.versions_of(session, PROJECT)) == 2
