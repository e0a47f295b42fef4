from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from backend.pipeline.basis.preset import check_choices, preset_of, remark_of, training_devices
from backend.queue.worker_info import WorkerInfo
from backend.settings import ProjectSettings
from converters.bookkeeping.documents import from_json, to_json
from domain.case import Manifest
from domain.errors import SettingsError
from tests.fakes.app import FakeApp
from tests.fakes.documents import run_manifest
from training import pretrained
from training.devices import Device
from training.presets import FAST, FULL, PRETRAINED, PresetChoice
from training.versions.manifests import RunManifest
from training.workspace import Workspace

CPU = (Device("cpu", 2, 1),)


def test_auto_goes_by_the_devices_that_train() -> None:
    """A web server's machine, or a predictor's, may have no GPU where the trainers' have some."""
    assert preset_of(ProjectSettings(), CPU).preset.name == "pretrained"
    mixed = (*CPU, Device("cuda:0", 1, 4, 24576))
    assert preset_of(ProjectSettings(), mixed) == PresetChoice(FAST, "there is a GPU")


def test_a_preset_for_a_gpu_on_a_cpu_is_told_of() -> None:
    gpu = Device("cuda:0", 1, 4, 24576)
    told = remark_of(ProjectSettings(preset="fast", budget_s=20.0), CPU)
    assert "Preset fast is made for a GPU" in told and "however small the budget" in told
    assert remark_of(ProjectSettings(preset="full"), CPU)
    assert remark_of(ProjectSettings(preset="fast"), (*CPU, gpu)) == ""
    for name in ("auto", "tiny", "pretrained"):
        assert remark_of(ProjectSettings(preset=name), CPU) == ""


@pytest.mark.parametrize(
    ("memory_mib", "told", "expected"),
    [
        ((0,), None, None),  # nobody knows
        ((24576,), None, None),
        ((8192,), None, None),
        ((6144,), None, 4.5),
        ((24576, 6144), None, 4.5),  # any fold may come to the smaller one
        ((6144,), 5.5, 5.5),
    ],
)
def test_plans_fit_a_small_gpu(
    memory_mib: tuple[int, ...], told: float | None, expected: float | None
) -> None:
    devices = [Device(f"cuda:{i}", 1, 4, memory) for i, memory in enumerate(memory_mib)]
    found = preset_of(ProjectSettings(gpu_memory_gb=told), devices).preset
    assert found.gpu_memory_gb == expected


def test_the_devices_are_those_of_the_workers_that_train(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [
        WorkerInfo("predictor", ("nnloop-score",), "", "cpu"),
        WorkerInfo("trainer", ("nnloop-train",), "", "cuda:1", 24576),
    ]
    monkeypatch.setattr(app.queue, "workers", lambda: workers)
    assert training_devices(app.context) == (Device("cuda:1", 1, 1, 24576),)
    monkeypatch.setattr(app.queue, "workers", lambda: workers[:1])
    assert training_devices(app.context) == ()


def test_while_the_trainer_is_away_a_project_keeps_its_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It restarts just then, or Redis does: another network would start from nothing."""
    monkeypatch.setenv("NNLOOP_DEVICES", "cpu")
    settings = ProjectSettings()
    small = replace(FAST, gpu_memory_gb=4.5)
    kept = preset_of(settings, (), small)
    assert kept.preset == small
    assert "as before" in kept.reason
    assert preset_of(settings, CPU, small).preset.name == "pretrained"  # the GPU's is gone
    assert preset_of(settings, ()).preset.name == "pretrained"  # this machine's
    assert preset_of(ProjectSettings(preset="full"), (), small).preset == FULL
    monkeypatch.setattr("backend.pipeline.basis.preset.has_weights", lambda: False)
    assert preset_of(settings, (), PRETRAINED).preset.name == "tiny"


def test_the_settings_override_the_preset() -> None:
    assert preset_of(ProjectSettings(preset="full"), CPU) == PresetChoice(FULL)
    settings = ProjectSettings(
        preset="full", trainer="nnUNetTrainer_250epochs", planner="nnUNetPlannerResEncL"
    )
    preset = preset_of(settings, CPU).preset
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
    assert preset_of(settings, CPU).preset.network == "pretrained"
    monkeypatch.setattr(pretrained, "_MODULE", "no_such_package_of_weights")
    for use in (
        lambda given: preset_of(given, CPU),
        lambda given: check_choices(given, Workspace(tmp_path, 1)),
    ):
        with pytest.raises(SettingsError, match="not installed") as caught:
            use(settings)
        assert "pip install" in caught.value.remedy
    # A named planner's network is another.
    check_choices(
        settings.model_copy(update={"planner": "ExperimentPlanner"}), Workspace(tmp_path, 1)
    )
