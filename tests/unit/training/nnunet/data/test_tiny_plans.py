"""What preset ``tiny`` makes of nnU-Net's plans."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from pydoc import locate
from typing import Any

import numpy as np

from converters.bookkeeping.files import read_json
from training.case_files import write_case
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.networks.pretrained_unet import PretrainedUNet
from training.presets import FAST, PRETRAINED, TINY, Preset
from training.pretrained import NETWORK
from training.versions.working_size import WorkingSize
from training.workspace import Workspace

SIDE = 320


def _plan(root: Path, preset: Preset, *, thin: bool, n: int = 2) -> dict[str, Any]:
    workspace, cases = Workspace(root, 1), []
    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(n):
        image = np.random.default_rng(i).integers(1, 255, (SIDE, SIDE)).astype(np.uint8)
        shape = (
            abs(y - x / 3 - 60 * (i % 2) - 40) < 1.5
            if thin
            else np.hypot(y - 160, x - 160) < 90 - i % 2
        )
        label_map = np.where(shape, 1, 0).astype(np.uint8)
        cases.append(write_case(workspace, f"task_{i}", image, label_map, n_channels=1))
    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    prepare(workspace, cases, folds, DatasetSpec(("a",), 1, preset))
    plans = read_json(workspace.preprocessed_dataset / "plans.json")
    configuration: dict[str, Any] = plans["configurations"]["2d"]
    return configuration


def test_large_shapes_are_trained_on_small_images_in_larger_batches(tmp_path: Path) -> None:
    configuration = _plan(tmp_path, TINY, thin=False)
    assert configuration["spacing"] == [2.5, 2.5]
    assert configuration["patch_size"] == [128, 128]
    assert configuration["batch_size"] == 4


def test_the_pretrained_network_takes_the_planners_place(tmp_path: Path) -> None:
    configuration = _plan(tmp_path, PRETRAINED, thin=False)
    architecture = configuration["architecture"]
    assert locate(architecture["network_class_name"]) is PretrainedUNet
    assert architecture["network_class_name"] == NETWORK
    assert architecture["_kw_requires_import"] == []
    assert configuration["patch_size"] == [128, 128]
    PretrainedUNet(1, 2, deep_supervision=True, **architecture["arch_kwargs"])
    # The second time in a process nnU-Net's plan is as it was made, not as it was edited.
    assert _plan(tmp_path / "again", PRETRAINED, thin=False) == configuration


def test_thin_shapes_keep_their_pixels_and_are_trained_on_in_patches(tmp_path: Path) -> None:
    """At the largest side of whole images a line 3 pixels wide would lose its shape."""
    configuration = _plan(tmp_path, TINY, thin=True)
    assert configuration["spacing"] == [1.0, 1.0]
    assert configuration["patch_size"] == [256, 256]
    assert configuration["batch_size"] == 2


def test_there_is_a_limit_to_how_large_images_stay(tmp_path: Path) -> None:
    preset = dataclasses.replace(TINY, max_fine_side=288)
    assert _plan(tmp_path, preset, thin=True)["spacing"] == [320 / 288] * 2
    preset = dataclasses.replace(TINY, max_fine_side=None)
    assert _plan(tmp_path, preset, thin=True)["spacing"] == [1.25, 1.25]


def test_plans_say_what_the_working_size_costs(tmp_path: Path) -> None:
    for thin, working in ((True, SIDE), (False, 128)):
        _plan(tmp_path / str(thin), TINY, thin=thin)
        plans = read_json(Workspace(tmp_path / str(thin), 1).preprocessed_dataset / "plans.json")
        size = WorkingSize.of_plans(plans)
        assert size is not None
        assert (size.side, size.working_side) == (SIDE, working)
        assert size.kept[1] == 1.0 if thin else 0.97 <= size.kept[1] < 1.0
    assert WorkingSize.of_plans({}) is None


def test_a_gpu_gets_more_patches_than_nnunet_plans_for_few_images(tmp_path: Path) -> None:
    """nnU-Net plans 2 patches a step for so few pixels, on a GPU of any size."""
    preset = dataclasses.replace(FAST, min_batch_pixels=4 * 320 * 320)
    assert _plan(tmp_path / "a", preset, thin=False, n=6)["batch_size"] == 4
    # No more than there are cases.
    assert _plan(tmp_path / "b", FAST, thin=False, n=6)["batch_size"] == 6
    # What somebody has planned by name stays as it is.
    named = FAST.customized(planner="ExperimentPlanner")
    assert _plan(tmp_path / "c", named, thin=False, n=6)["batch_size"] == 2
