"""The preset of a project and of a run, with the trainer, planner and plans a user has named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend.pipeline.basis.context import AppContext
from backend.queue import JobName
from backend.settings import ProjectSettings
from domain.errors import StackError
from training.devices import Device, list_devices
from training.nnunet_class_names import check_class_name
from training.presets import FAST, FULL, Preset, PresetChoice, choose_preset, preset_by_name
from training.pretrained import has_weights, require_weights
from training.versions.named_plans import find_plans
from training.workspace import Workspace

PLANNED_MIB = 8 * 1024
"""Memory that nnU-Net's planner plans for by itself."""

_USABLE = 0.75
"""Of a smaller GPU's memory: a screen and other programs take the rest."""


def training_devices(context: AppContext) -> tuple[Device, ...]:
    """The devices of the workers that train, wherever; none while no such worker is known."""
    try:
        workers = context.queue.workers()
    except StackError:
        workers = []
    train = str(JobName.TRAIN_FOLD.queue)
    found = [worker for worker in workers if train in worker.queues and worker.device]
    return tuple(Device(worker.device, 1, 1, worker.memory_mib) for worker in found)


def preset_of(
    settings: ProjectSettings, devices: Sequence[Device], former: Preset | None = None
) -> PresetChoice:
    """The preset a project trains with, and why.

    ``auto`` goes by the devices. Plans are made for the smallest GPU's memory, where that is less
    than what nnU-Net plans for and nobody has named another.

    Args:
        settings: The run's.
        devices: Those that train. While none is known ``auto`` keeps to ``former``, since another
            network starts from nothing, or goes by this machine's.
        former: The preset that ``auto`` took last in the project; None without one.

    Raises:
        SettingsError: Both plans and a planner are named, or a file of weights is missing.
    """
    known = devices or list_devices()
    if settings.preset == "auto":
        choice = _automatic(known, None if devices else former)
    else:
        choice = PresetChoice(preset_by_name(settings.preset))
    preset = _customized(choice.preset, settings)
    memory_mib = min((d.memory_mib for d in known if d.memory_mib), default=PLANNED_MIB)
    if memory_mib < PLANNED_MIB and preset.gpu_memory_gb is None and preset.plans is None:
        preset = replace(preset, gpu_memory_gb=round(_USABLE * memory_mib / 1024, 1))
    require_weights(preset)
    return replace(choice, preset=preset)


def _automatic(devices: Sequence[Device], former: Preset | None) -> PresetChoice:
    """As ``former``, where there is one to keep to; else by the devices."""
    if former is not None and (former.network is None or has_weights()):
        preset = replace(preset_by_name(former.name), gpu_memory_gb=former.gpu_memory_gb)
        return PresetChoice(preset, "as before, while no worker that trains is known")
    n_gpus = sum(device.is_gpu for device in devices)
    return choose_preset(n_gpus, has_weights=has_weights())


def remark_of(settings: ProjectSettings, devices: Sequence[Device]) -> str:
    """What to know of a preset that was named: one for a GPU, where a CPU trains; "" of others.

    Args:
        settings: The run's.
        devices: Those that train; while none is known this machine's count.
    """
    for_gpu = (FAST.name, FULL.name)
    if settings.preset not in for_gpu or any(d.is_gpu for d in devices or list_devices()):
        return ""
    return (
        f"Preset {settings.preset} is made for a GPU. On a CPU one of its epochs takes minutes, "
        "and one is always finished, however small the budget; for a CPU there are pretrained and "
        "tiny."
    )


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
