"""Plans by a planner or plans that were named, through ``prepare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converters.bookkeeping.files import read_json
from domain.errors import TrainingError
from tests.integration.training.discs import CLASS_VALUES, disc_image
from training.case_files import write_case
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.presets import FULL, TINY, Preset
from training.workspace import Workspace


def _prepare(
    workspace: Workspace, preset: Preset, n: int = 3, side: int = 40, replan: bool = False
) -> PreparedDataset:
    cases = [
        write_case(workspace, f"task_{i}", *disc_image(i, side=side), n_channels=1)
        for i in range(n)
    ]
    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    return prepare(
        workspace,
        cases,
        folds,
        DatasetSpec(CLASS_VALUES, 1, preset),
        replan=replan,
    )


def _plan(workspace: Workspace) -> dict[str, Any]:
    plans = read_json(workspace.preprocessed_dataset / "plans.json")
    configuration: dict[str, Any] = plans["configurations"]["2d"]
    return configuration


def _name(workspace: Workspace, name: str, plans: dict[str, Any]) -> None:
    workspace.named_plans.mkdir(parents=True, exist_ok=True)
    (workspace.named_plans / f"{name}.json").write_text(json.dumps(plans))


@pytest.mark.slow
def test_less_memory_makes_smaller_patches(tmp_path: Path) -> None:
    patches = []
    for k, memory in enumerate((None, 0.25)):
        workspace = Workspace(tmp_path / str(k), 1)
        _prepare(workspace, FULL.customized(gpu_memory_gb=memory), side=320)
        patches.append(_plan(workspace)["patch_size"])
    assert patches[0] == [320, 320]
    assert max(patches[1]) < 320


@pytest.mark.slow
def test_a_named_planner_is_not_edited_by_the_preset(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    assert _prepare(workspace, TINY).planned
    assert "n_conv_per_stage" in _plan(workspace)["architecture"]["arch_kwargs"]
    prepared = _prepare(workspace, TINY.customized(planner="nnUNetPlannerResEncM"))
    assert prepared.replanned == "changed: the preset's plan"
    architecture = _plan(workspace)["architecture"]
    assert architecture["network_class_name"].endswith("ResidualEncoderUNet")
    assert architecture["arch_kwargs"]["features_per_stage"][0] == 32


@pytest.mark.slow
def test_named_plans_are_used_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _prepare(workspace, FULL)
    plans = read_json(workspace.preprocessed_dataset / "plans.json")
    plans["dataset_name"] = "Dataset500_Other"
    plans["configurations"]["2d"].update(batch_size=7, data_identifier="other")
    _name(workspace, "mine", plans)
    preset = FULL.customized(plans="mine")
    assert _prepare(workspace, preset).planned
    used = read_json(workspace.preprocessed_dataset / "plans.json")
    assert used["dataset_name"] == workspace.dataset_name
    assert used["configurations"]["2d"]["batch_size"] == 7
    arrays = workspace.preprocessed_dataset / "nnUNetPlans_2d"
    assert {path.stem for path in arrays.glob("*.pkl")} == {"task_0", "task_1", "task_2"}

    # Five times the cases would have outgrown plans of our own.
    assert not _prepare(workspace, preset, n=15).planned
    plans["configurations"]["2d"]["batch_size"] = 9
    _name(workspace, "mine", plans)
    assert _prepare(workspace, preset).planned
    assert _plan(workspace)["batch_size"] == 9


def test_an_unknown_planner_and_unfitting_plans_end_the_preparation(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    with pytest.raises(TrainingError, match="no planner 'Nobody'"):
        _prepare(workspace, FULL.customized(planner="Nobody"))
    _name(workspace, "volumes", {"configurations": {"3d_fullres": {}}})
    with pytest.raises(TrainingError, match="only 3d_fullres"):
        _prepare(workspace, FULL.customized(plans="volumes"))
