from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from backend.pipeline.basis.preset import check_choices, preset_of, preset_of_manifest
from backend.settings import ProjectSettings
from domain.errors import SettingsError
from training.presets import FULL, TINY
from training.workspace import Workspace


def test_the_settings_override_the_preset() -> None:
    assert preset_of(ProjectSettings(preset="full")) == FULL
    settings = ProjectSettings(
        preset="full", trainer="nnUNetTrainer_250epochs", planner="nnUNetPlannerResEncL"
    )
    preset = preset_of(settings)
    assert (preset.trainer, preset.planner) == ("nnUNetTrainer_250epochs", "nnUNetPlannerResEncL")
    assert (preset.name, preset.postprocess) == ("full", True)


def test_a_run_keeps_the_preset_it_began_with() -> None:
    preset = replace(FULL, trainer="my.trainers:Mine", epochs=7)
    manifest = json.loads(json.dumps({"preset": "full", "preset_values": preset.to_json()}))
    assert preset_of_manifest(manifest) == preset
    assert preset_of_manifest({"preset": "tiny"}) == TINY  # a run of 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ProjectSettings(trainer="nnUNetTrainr"), "trainer 'nnUNetTrainr'"),
        (ProjectSettings(planner="ResEnc"), "planner 'ResEnc'"),
        (ProjectSettings(plans="none"), "no plans 'none'"),
        (ProjectSettings(plans="x", planner="ExperimentPlanner"), "Both"),
        (ProjectSettings(plans="x", gpu_memory_gb=12), "Both"),
    ],
)
def test_what_would_end_a_run_is_refused_early(
    settings: ProjectSettings, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        check_choices(settings, Workspace(tmp_path, 1))
    assert caught.value.remedy


def test_what_can_be_used_passes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    workspace.named_plans.mkdir(parents=True)
    (workspace.named_plans / "large.json").write_text("{}")
    check_choices(ProjectSettings(trainer="my.module:Trainer", plans="large"), workspace)
    check_choices(ProjectSettings(planner="nnUNetPlannerResEncXL", gpu_memory_gb=32), workspace)
