"""The preset `full`, but for its length: plans, folds, postprocessing, prediction."""

from __future__ import annotations

import contextlib
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
    ExperimentPlanner,
)

from converters.bookkeeping.files import read_json
from tests.integration.training.discs import CLASS_VALUES, disc_image
from training.case_files import read_image, write_case
from training.evaluation import named_dice
from training.folds.spec import RESULT, FoldSpec
from training.nnunet.cross_validation import find_postprocessing
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.environment import project_roots
from training.nnunet.inference.postprocessing import apply_postprocessing, postprocessed
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.learning.fold_process import train_fold
from training.presets import FULL, Preset
from training.versions.keep_largest import read_postprocessing
from training.versions.version_folder import package_version, read_version
from training.workspace import Workspace

pytestmark = pytest.mark.slow

SHORT = replace(FULL, trainer="tests.integration.training.own_trainers:ShortTrainer", n_folds=2)
N_CASES = 4


def _prepare(root: Path, preset: Preset) -> Workspace:
    workspace = Workspace(root, 7)
    cases = [
        write_case(workspace, f"task_{i}", *disc_image(i, side=40), n_channels=1)
        for i in range(N_CASES)
    ]
    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, preset))
    return workspace


@pytest.mark.parametrize(
    ("planner", "network"),
    [
        ("ExperimentPlanner", "PlainConvUNet"),
        ("nnUNetPlannerResEncM", "ResidualEncoderUNet"),
    ],
)
def test_from_plans_to_postprocessed_predictions(
    planner: str, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    preset = SHORT.customized(planner=planner)
    workspace = _prepare(tmp_path, preset)
    for fold in (0, 1):
        spec = FoldSpec(str(tmp_path), 7, "1", fold, CLASS_VALUES, preset, seed=fold)
        spec.fold_dir.mkdir(parents=True)
        train_fold(spec, started=time.monotonic())
    found = find_postprocessing(workspace, "1", (0, 1), CLASS_VALUES)
    version = package_version(
        workspace,
        "1",
        "v1",
        class_values=CLASS_VALUES,
        n_channels=1,
        preset=preset,
        folds=(0, 1),
    )

    plans = read_json(version / "plans.json")
    architecture = plans["configurations"]["2d"]["architecture"]
    assert architecture["network_class_name"].endswith(f".{network}")
    assert read_version(version).preset == preset

    steps = read_postprocessing(version)
    assert steps == found.steps
    assert sorted(found.dice_per_case) == [f"task_{i}" for i in range(N_CASES)]
    predictor = FoldPredictor.load(version, engine="torch")
    for fold in (0, 1):
        result = read_json(workspace.fold_dir("1", fold) / RESULT)
        for case_id in result["dice_per_case"]:
            # What nnU-Net decided on is what the packaged fold predicts of the case.
            image = read_image(workspace.image_png(case_id))
            probabilities = predictor.predict_single_fold(image, fold)
            kept = read_image(workspace.fold_dir("1", fold) / "validation" / f"{case_id}.png")
            label_map = probabilities.argmax(axis=0).astype(np.uint8)
            assert (label_map == kept).mean() > 0.999
            truth = read_image(workspace.label_png(case_id))
            assert named_dice(kept, truth, CLASS_VALUES) == result["dice_per_case"][case_id]
            final = postprocessed(probabilities, steps).argmax(axis=0).astype(np.uint8)
            np.testing.assert_array_equal(final, apply_postprocessing(label_map, steps))

    # The version's plans, named for another set of the same kind, are used as they are.
    again = _prepare(tmp_path / "again", SHORT.customized(plans=str(version / "plans.json")))
    own = read_json(again.preprocessed_dataset / "plans.json")
    assert own["configurations"] == plans["configurations"]


def test_nothing_of_nnunets_own_plans_is_edited(tmp_path: Path) -> None:
    workspace = _prepare(tmp_path, FULL)
    ours = read_json(workspace.preprocessed_dataset / "plans.json")
    with project_roots(workspace), contextlib.redirect_stdout(io.StringIO()):
        theirs = ExperimentPlanner(
            workspace.dataset_name, plans_name="nnUNetPlans"
        ).plan_experiment()
    assert ours == json.loads(json.dumps(theirs))
