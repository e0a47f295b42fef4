"""The preset of a project and of a run, with the trainer, planner and plans a user has named."""

from __future__ import annotations

from dataclasses import replace

from backend.settings import ProjectSettings
from training.devices import list_devices
from training.nnunet_class_names import check_class_name
from training.presets import FULL, Preset, PresetChoice, choose_preset, preset_by_name
from training.pretrained import has_weights, require_weights
from training.versions.named_plans import find_plans
from training.workspace import Workspace


def preset_of(settings: ProjectSettings, *, n_labels: int = 0, former: str = "") -> PresetChoice:
    """The preset a project trains with, and why; 'auto' looks at the devices of this machine.

    Args:
        settings: The run's.
        n_labels: Labelled images.
        former: As for ``choose_preset``.

    Raises:
        SettingsError: Both plans and a planner are named, or a file of weights is missing.
    """
    if settings.preset == "auto":
        n_gpus = sum(device.is_gpu for device in list_devices())
        choice = choose_preset(n_gpus, n_labels=n_labels, former=former, has_weights=has_weights())
    else:
        choice = PresetChoice(preset_by_name(settings.preset))
    preset = _customized(choice.preset, settings)
    require_weights(preset)
    return replace(choice, preset=preset)


def check_choices(settings: ProjectSettings, workspace: Workspace) -> None:
    """Refuses early what would end a run: unknown trainers, planners and plans, missing weights.

    Classes named as ``package.module:Class`` are imported only where they are used.

    Raises:
        SettingsError: With what there is instead.
    """
    check_class_name("trainer", settings.trainer)
    check_class_name("planner", settings.planner)
    _customized(FULL, settings)
    if settings.preset != "auto":
        require_weights(_customized(preset_by_name(settings.preset), settings))
    if settings.plans:
        find_plans(workspace, settings.plans)


def _customized(preset: Preset, settings: ProjectSettings) -> Preset:
    return preset.customized(
        trainer=settings.trainer,
        planner=settings.planner,
        plans=settings.plans,
        gpu_memory_gb=settings.gpu_memory_gb,
    )
