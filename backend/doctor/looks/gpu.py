"""GPU and driver against torch. torch is asked in a process of its own: this one loads none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.doctor.check import Check, Finding, NotLookedError, fine, note, wrong
from backend.doctor.patient import Patient
from domain.errors import NnloopError
from domain.text import counted
from training.devices import list_devices, run_nvidia_smi
from training.processes.networks import run_child

LOOK_S = 90.0
"""Longest time for torch to be imported and to use each GPU once."""

_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", "0x03"
_MODULE = "training.nnunet.seen_gpus"
_DOCKER = "docker run --gpus all, or COMPOSE_PROFILES=gpu in .env"
_NO_DRIVER = f"Install NVIDIA's driver; in a container give it the GPU: {_DOCKER}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What torch says: its version, the CUDA it was built for ("" = none), the GPUs it can use."""

    torch: str
    built_for: str
    gpus: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where is looked: tests have others."""

    count_by_driver: Callable[[], int] = field(default=lambda: len(run_nvidia_smi()))
    count_in_machine: Callable[[], int] = field(default=lambda: _count_in(_PCI))
    ask_torch: Callable[[], Seen] = field(default=lambda: ask_torch())


def gpu(patient: Patient, sources: Sources | None = None) -> Finding:
    """Whether the GPUs that are there, or asked for, can be used by torch."""
    sources = sources or Sources()
    wanted = _wanted(patient)
    n_seen, n_there = sources.count_by_driver(), sources.count_in_machine()
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if wanted and set(wanted) <= {"cpu", "mps"}:
        return fine(f"trains on {', '.join(wanted)}, as NNLOOP_DEVICES says")
    if not n_seen and not wanted:
        if n_there:
            return note(
                f"{counted(n_there, 'NVIDIA GPU')} in this machine, but no driver that shows it "
                "here (nvidia-smi): trainings run on the CPU.",
                _NO_DRIVER,
            )
        return fine("no GPU here: trainings run on the CPU")
    if is_hidden and not wanted:
        return note(
            f"{counted(n_seen, 'GPU')}, hidden by CUDA_VISIBLE_DEVICES: trainings run on the CPU.",
            "Unset CUDA_VISIBLE_DEVICES where nnloop starts",
        )
    seen = sources.ask_torch()
    return _compared(wanted, n_seen, seen)


def _compared(wanted: tuple[str, ...], n_seen: int, seen: Seen) -> Finding:
    built = f"torch {seen.torch}, built for CUDA {seen.built_for}" if seen.built_for else ""
    n_needed = max((int(name[5:]) + 1 for name in wanted if name.startswith("cuda:")), default=1)
    if not seen.built_for:
        return wrong(
            f"torch {seen.torch} is a build for CPUs, and the driver shows "
            f"{counted(n_seen, 'GPU')}.",
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
            " in nnloop's environment, in containers TORCH_INDEX_URL empty (docker-compose.yml)",
        )
    if not seen.gpus:
        why = f": {seen.error}" if seen.error else ""
        if not n_seen:
            return wrong(
                f"NNLOOP_DEVICES names {', '.join(wanted)}, and there is no driver with a GPU here "
                f"(nvidia-smi){why}.",
                f"{_NO_DRIVER}; or unset NNLOOP_DEVICES",
            )
        return wrong(
            f"The driver shows {counted(n_seen, 'GPU')}, but torch can use none ({built}){why}.",
            f"Update NVIDIA's driver to one for CUDA {seen.built_for} or newer, or install a torch "
            "that is built for an older one",
        )
    if len(seen.gpus) < n_needed:
        return wrong(
            f"NNLOOP_DEVICES names {', '.join(wanted)}, and torch sees "
            f"{counted(len(seen.gpus), 'GPU')}.",
            "Correct NNLOOP_DEVICES (docs/settings.md), or unset it",
        )
    names = ", ".join(dict.fromkeys(seen.gpus))
    return fine(f"{counted(len(seen.gpus), 'GPU')} ({names}), used by {built}")


def ask_torch() -> Seen:
    """What torch says, in a process of its own; NotLookedError where it can't be asked."""
    lines: list[str] = []
    try:
        run_child(_MODULE, {}, lines.append, work="looks for GPUs", limit_s=LOOK_S)
    except NnloopError as error:
        raise NotLookedError(f"torch could not be asked: {error}".rstrip(".")) from None
    return read_seen(lines[-1] if lines else "")


def read_seen(line: str) -> Seen:
    """Reads what ``training.nnunet.seen_gpus`` printed; NotLookedError where it is nothing."""
    try:
        said: dict[str, Any] = json.loads(line)
        return Seen(
            str(said["torch"]),
            str(said["built_for"]),
            tuple(map(str, said["gpus"])),
            str(said["error"]),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise NotLookedError(f"torch's answer could not be read: {error}") from None


def _wanted(patient: Patient) -> tuple[str, ...]:
    """What the settings name to train or predict on; () where that is left open."""
    settings = patient.settings
    named = tuple(part.strip() for part in settings.devices.split(",") if part.strip())
    if named:
        list_devices({"NNLOOP_DEVICES": settings.devices}, query=lambda: [])  # raises where wrong
        return named
    one = settings.worker_device
    return (one,) if one.startswith(("cuda", "mps")) else ()


def _count_in(folder: Path) -> int:
    """NVIDIA's GPUs in the machine, whether or not there is a driver for them."""

    def read(path: Path) -> str:
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    cards = folder.glob("*") if folder.is_dir() else ()
    return sum(
        read(card / "vendor") == _NVIDIA and read(card / "class").startswith(_DISPLAY)
        for card in cards
    )


CHECKS = (Check("gpu", "Can torch use the GPU?", gpu, deadline_s=LOOK_S + 20.0),)
