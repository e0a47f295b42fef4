"""A run that challenges, and networks whose Dice tells which fold they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backend.pipeline.gate.verdict import DicePerCase
from backend.store.models import FoldRow, VersionRow
from backend.store.training import versions
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.gate_verdict import Verdict
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest
from tests.fakes.maps import maps_of
from training.case_files import write_case
from training.nnunet.inference.maps import FoldMaps
from training.versions.manifests import RunManifest

CLASSES = ("lumen", "wall")


def dice_of_cases(**values: float) -> DicePerCase:
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


def entry(task_id: int, fold: int, text: str = "same", group: str = "") -> ManifestEntry:
    case_id = case_id_of_task(task_id)
    return ManifestEntry(case_id, task_id, task_id, text, group or case_id, fold)


def manifest_of(
    *entries: ManifestEntry, classes: tuple[str, ...] = CLASSES, n_folds: int = 2
) -> RunManifest:
    manifest = Manifest(entries, class_values=classes, n_folds=n_folds)
    return run_manifest(manifest)


def add_challenger(app: FakeApp, manifest: RunManifest, dice: DicePerCase) -> int:
    run_id = app.add_run(RunStatus.EVALUATING, 2, manifest=manifest)
    with app.store.begin() as session:
        result = fold_result(dice, warm_started=True)
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.DONE, result=result))
        session.add(FoldRow(run_id=run_id, fold=1, status=FoldStatus.DONE))
    return run_id


def version_of(app: FakeApp, run_id: int) -> VersionRow:
    with app.store.begin() as session:
        version = versions.version_of_run(session, run_id)
        assert version is not None
        return version


def verdict_of(app: FakeApp, run_id: int) -> Verdict:
    verdict = version_of(app, run_id).metrics.gate
    assert verdict is not None
    return verdict


def write_cases(app: FakeApp, *task_ids: int) -> None:
    """Cases whose truth is what fold 1 paints."""
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :2] = 1
    for task_id in task_ids:
        image = np.zeros((8, 8), np.uint8)
        workspace = app.context.workspace(PROJECT)
        write_case(workspace, case_id_of_task(task_id), image, truth, n_channels=1)
