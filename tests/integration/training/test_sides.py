"""Flips that the labels forbid, or that exchange classes, in what real trainers do."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.bookkeeping.files import read_json
from tests.integration.training import own_trainers
from tests.unit.training.symmetries.pictures import SIDE, picture
from training.case_files import read_case_image, write_case
from training.folds.runner import run_fold
from training.folds.spec import FoldSpec
from training.folds.splits import assign_folds
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.learning.trainer import LoopTrainer, make_trainer
from training.presets import TINY, Preset
from training.symmetries.symmetries import SMALL_TURN, Symmetries
from training.versions.version_folder import VersionInfo, library_versions, package_version
from training.workspace import Workspace

CLASS_VALUES = ("left disc", "right disc")
PRESET = dataclasses.replace(
    TINY,
    n_folds=2,
    epochs=2,
    iterations_per_epoch=2,
    val_iterations=1,
    batch_size=4,
    features_per_stage=(4, 8, 8),
    max_image_side=SIDE,
    max_patch_side=SIDE,
)
FOREIGN = dataclasses.replace(PRESET, trainer=f"{own_trainers.__name__}:ShortTrainer")
UNMIRRORED = dataclasses.replace(PRESET, trainer="nnUNetTrainerNoMirroring")

NONE = Symmetries(flips=(), max_turn=SMALL_TURN)
EXCHANGED = Symmetries(flips=(0, 1), swaps=((1, 1, 2),), max_turn=SMALL_TURN)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Class 1 is always on the left and bright, class 2 on the right and dim."""
    workspace = Workspace(tmp_path_factory.mktemp("sides"), 7)
    cases = [
        write_case(
            workspace,
            f"task_{i}",
            *picture([(1, 0.5, 0.25, 220), (2, 0.5, 0.75, 130)], i),
            n_channels=1,
        )
        for i in range(6)
    ]
    folds = assign_folds({}, [case.case_id for case in cases], 2)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, PRESET))
    return workspace


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")


def _spec(workspace: Workspace, run: str, preset: Preset, symmetries: Symmetries) -> FoldSpec:
    return FoldSpec(
        str(workspace.root), 7, run, 0, CLASS_VALUES, preset, seed=5, symmetries=symmetries
    )


def _trainer(workspace: Workspace, preset: Preset, symmetries: Symmetries) -> LoopTrainer:
    run = f"batches-{preset.trainer.rpartition(':')[2]}-{len(symmetries.flips)}"
    spec = _spec(workspace, run, preset, symmetries)
    spec.fold_dir.mkdir(parents=True, exist_ok=True)
    folder = workspace.preprocessed_dataset
    trainer = make_trainer(
        spec,
        read_json(folder / "plans.json"),
        read_json(folder / "dataset.json"),
        started=time.monotonic(),
    )
    trainer.initialize()
    return trainer


def _seen(trainer: LoopTrainer, n_batches: int = 12) -> list[tuple[bool, bool]]:
    """Per patch with both classes: whether class 1 lies left of class 2, and is brighter."""
    batches, _ = trainer.get_dataloaders()
    found = []
    for _ in range(n_batches):
        batch: dict[str, Any] = next(batches)
        for image, labels in zip(batch["data"][:, 0], batch["target"][0][:, 0], strict=True):
            one, two = (labels == k for k in (1, 2))
            if one.sum() > 40 and two.sum() > 40:
                columns = [mask.nonzero()[:, 1].float().mean() for mask in (one, two)]
                found.append(
                    (
                        bool(columns[0] < columns[1]),
                        bool(image[one].mean() > image[two].mean()),
                    )
                )
    assert len(found) >= 20
    return found


@pytest.mark.parametrize("preset", [PRESET, FOREIGN], ids=["tiny", "nnUNetTrainer"])
def test_without_flips_every_patch_is_as_the_image(workspace: Workspace, preset: Preset) -> None:
    trainer = _trainer(workspace, preset, NONE)
    assert set(_seen(trainer)) == {(True, True)}
    assert trainer.mirror_axes == ()


@pytest.mark.parametrize("preset", [PRESET, FOREIGN], ids=["tiny", "nnUNetTrainer"])
def test_with_all_flips_sides_are_lost(workspace: Workspace, preset: Preset) -> None:
    trainer = _trainer(workspace, preset, Symmetries())
    assert {left for left, _ in _seen(trainer)} == {True, False}
    assert trainer.mirror_axes == (0, 1)


@pytest.mark.parametrize("preset", [PRESET, FOREIGN], ids=["tiny", "nnUNetTrainer"])
def test_exchanged_classes_keep_their_sides(workspace: Workspace, preset: Preset) -> None:
    trainer = _trainer(workspace, preset, EXCHANGED)
    seen = _seen(trainer)
    assert {left for left, _ in seen} == {True}
    assert {bright for _, bright in seen} == {True, False}
    assert trainer.mirror_axes == (0, 1)
    # What nnU-Net's own prediction mirrors exchanges nothing.
    assert trainer.inference_allowed_mirroring_axes == (0,)


def test_a_trainer_that_mirrors_nothing_is_given_no_flips(workspace: Workspace) -> None:
    trainer = _trainer(workspace, UNMIRRORED, EXCHANGED)
    assert {bright for _, bright in _seen(trainer)} == {True}
    assert trainer.mirror_axes == ()
    assert trainer.swaps == ()


def test_turns_are_limited(workspace: Workspace) -> None:
    for preset in (PRESET, FOREIGN):
        for symmetries, limit in ((NONE, math.radians(SMALL_TURN)), (Symmetries(), math.pi)):
            trainer = _trainer(workspace, preset, symmetries)
            rotation = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[0]
            assert rotation == pytest.approx((-limit, limit))


def test_a_version_predicts_mirrored_as_it_was_trained(workspace: Workspace) -> None:
    """Mirrored prediction exchanges the maps too, also after a checkpoint's round trip."""
    result = run_fold(_spec(workspace, "swap", PRESET, EXCHANGED), lambda _: None, lambda: False)
    assert result is not None
    info = VersionInfo("v-swap", CLASS_VALUES, 1, PRESET, (0,), library_versions())
    folder = package_version(workspace, "swap", info)
    image = read_case_image(workspace, "task_0")

    def maps(pixels: Any, *, mirroring: bool, folder: Path = folder) -> Any:
        predictor = FoldPredictor.load(folder, mirroring=mirroring, engine="torch")
        return predictor.predict(pixels)[0]

    both = maps(image, mirroring=True)
    # The mean is over all flips: a flipped image gives the flipped maps, its classes exchanged.
    flipped = maps(np.ascontiguousarray(image[:, ::-1]), mirroring=True)
    np.testing.assert_allclose(flipped[[0, 2, 1], :, ::-1], both, atol=1e-5)
    assert np.abs(maps(image, mirroring=False) - both).max() > 1e-3
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["nnloop"]["swaps"] == [[1, 1, 2]]
    assert tuple(checkpoint["inference_allowed_mirroring_axes"]) == (0,)
