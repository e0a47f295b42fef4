from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from backend.pipeline.basis.preset import check_choices, preset_of
from backend.settings import ProjectSettings
from converters.bookkeeping.documents import from_json, to_json
from domain.case import Manifest
from domain.errors import SettingsError
from tests.fakes.documents import run_manifest
from training import pretrained
from training.presets import FULL, PresetChoice
from training.versions.manifests import RunManifest
from training.workspace import Workspace


def test_the_settings_override_the_preset() -> None:
    assert preset_of(ProjectSettings(preset="full")) == PresetChoice(FULL)
    settings = ProjectSettings(
        preset="full", trainer="nnUNetTrainer_250epochs", planner="nnUNetPlannerResEncL"
    )
    preset = preset_of(settings).preset
    assert (preset.trainer, preset.planner) == ("nnUNetTrainer_250epochs", "nnUNetPlannerResEncL")
    assert (preset.name, preset.postprocess) == ("full", True)


def test_a_run_keeps_the_preset_it_began_with() -> None:
    kept = run_manifest(Manifest(()), replace(FULL, trainer="my.trainers:Mine", epochs=7))
    assert from_json(RunManifest, json.loads(json.dumps(to_json(RunManifest, kept)))) == kept


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


def test_missing_weights_are_told_of_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ProjectSettings(preset="pretrained")
    assert preset_of(settings).preset.network == "pretrained"
    monkeypatch.setattr(pretrained, "_MODULE", "no_such_package_of_weights")
    for use in (preset_of, lambda given: check_choices(given, Workspace(tmp_path, 1))):
        with pytest.raises(SettingsError, match="not installed") as caught:
            use(settings)
        assert "pip install" in caught.value.remedy
    # A named planner's network is another.
    check_choices(
        settings.model_copy(update={"planner": "ExperimentPlanner"}), Workspace(tmp_path, 1)
    )
