"""Where folds can train: the GPUs, or the CPU."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import psutil

from domain.errors import SettingsError

VARIABLE = "NNLOOP_DEVICES"

_NAME = re.compile(r"cpu|mps|cuda:\d+")

_CPU_WORKERS = 3
"""Folds trained at once on a CPU of several cores: all of ``tiny``'s in one round. Two at a time
left a core idle while the third one trained, a quarter of the time of all."""

_MANY_CORES, _MANY_WORKERS = 11, 5
"""From so many cores on, as many folds as the other presets have get two threads each."""

_FOLD_MIB = 1024
"""Memory of one fold's process on a CPU: 0.75 to 0.95 GB with ``tiny``."""

_OTHERS_MIB = 2560
"""Memory of everything else on the machine: prediction worker 1.2 GB, Label Studio 0.6 GB, the web
service, the loop worker, Redis and the system."""

LEAST_MEMORY_MIB = _OTHERS_MIB + _FOLD_MIB
"""Memory of a machine that does everything, in MiB: what ``nnloop up`` starts, with one fold."""

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""A container's limit, where the machine has one."""

_CPU_THREADS = 8
"""Of one fold, at most: its network and its patches are small."""

_GPU_WORKERS = 3
"""Folds trained at once on one GPU, at most."""

_GPU_FOLD_MIB = 10 * 1024
"""Of a fold on a GPU: nnU-Net plans for 8 GB, and its process takes some beside that."""

_GPU_FOLD_CORES = 4
"""For the processes that make a fold's patches: with fewer the GPU waits for them anyway."""

_QUERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Device:
    """One place to train.

    Attributes:
        name: ``cpu``, ``mps`` or ``cuda:<i>``, i counting the GPUs visible to this process.
        workers: Folds to train on it at the same time.
        threads: CPU threads for each of them.
        memory_mib: Memory of the GPU; 0 when unknown or not a GPU.
    """

    name: str
    workers: int
    threads: int
    memory_mib: int = 0

    @property
    def is_gpu(self) -> bool:
        """Whether it is not the CPU."""
        return self.name != "cpu"


def run_nvidia_smi() -> list[int]:
    """Memory in MiB of each GPU of the machine, in PCI order; empty without a driver."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [int(row) if row.strip().isdigit() else 0 for row in done.stdout.split("\n") if row]


def list_devices(
    environment: Mapping[str, str] | None = None,
    *,
    query: Callable[[], list[int]] = run_nvidia_smi,
    cores: int | None = None,
    memory_mib: int | None = None,
) -> tuple[Device, ...]:
    """The devices to train on: every visible GPU, or the CPU when there is none.

    ``NNLOOP_DEVICES`` (``cpu``, ``mps``, ``cuda:0,cuda:1``) overrides what is found. On a CPU of
    several cores three folds train at once (five on many cores) if memory bears it, on one core one
    after the other; on a GPU one fold, on a large one beside many cores up to three. The CPU's
    threads are shared out. When all train on the CPU one core is left to the rest, as far as there
    is one for each fold: of several threads of a fold, one that waits for a core holds all of them
    up.

    Args:
        environment: Default: this process's.
        query: Memory in MiB of every GPU of the machine.
        cores: CPU cores; default: those this process may use.
        memory_mib: Memory of the machine in MiB; default: what this process may use.

    Raises:
        SettingsError: ``NNLOOP_DEVICES`` names no device.
    """
    variables = os.environ if environment is None else environment
    n_cores = cores or usable_cores()
    memory_mib = usable_memory_mib() if memory_mib is None else memory_mib
    wanted = [name.strip() for name in variables.get(VARIABLE, "").split(",") if name.strip()]
    wrong = [name for name in wanted if not _NAME.fullmatch(name)]
    if wrong or len(set(wanted)) != len(wanted):
        raise SettingsError(
            f"{VARIABLE} must list cpu, mps or cuda:<number>, each once, got {','.join(wanted)!r}.",
            remedy=f"Write for example {VARIABLE}=cuda:0,cuda:1, or unset it.",
        )
    if wanted == ["cpu"]:
        return (_cpu(n_cores, memory_mib),)
    memory = _visible(query(), variables.get("CUDA_VISIBLE_DEVICES"))
    names = wanted or [f"cuda:{i}" for i in range(len(memory))]
    gpus = [name for name in names if name != "cpu"]
    devices = [_gpu(name, n_cores // len(gpus), _memory_of(name, memory)) for name in gpus]
    if "cpu" in names or not names:
        # Beside GPUs, which have their threads: one for each fold.
        found = _cpu(n_cores, memory_mib)
        devices.append(replace(found, threads=1) if gpus else found)
    return tuple(devices)


def memory_of(name: str) -> int:
    """MiB of memory of a GPU of this process; 0 where it is none, or nobody knows."""
    device = _device(name)
    return device.memory_mib if device else 0


def threads_of(name: str) -> int:
    """Threads of a worker on a device of which nobody has said how many, at least 1.

    Its share of the cores where every device trains as much as it can.
    """
    device = _device(name)
    return device.threads if device else 1


def _device(name: str) -> Device | None:
    return next((device for device in list_devices() if device.name == name), None)


def _gpu(name: str, cores: int, memory_mib: int) -> Device:
    """A GPU with its share of the cores; a large one trains several folds at once."""
    workers = max(1, min(_GPU_WORKERS, memory_mib // _GPU_FOLD_MIB, cores // _GPU_FOLD_CORES))
    return Device(name, workers, max(1, cores // workers), memory_mib)


def _cpu(cores: int, memory_mib: int) -> Device:
    workers = _MANY_WORKERS if cores >= _MANY_CORES else _CPU_WORKERS
    if cores == 1:
        workers = 1
    workers = max(1, min(workers, (memory_mib - _OTHERS_MIB) // _FOLD_MIB))
    threads = min(max(1, (cores - 1) // workers), _CPU_THREADS)
    return Device("cpu", workers=workers, threads=threads)


def visible_gpus(mask: str) -> list[str]:
    """The GPUs that a value of ``CUDA_VISIBLE_DEVICES`` names, as CUDA reads it.

    The list ends at the first entry that is neither a number nor an id (``GPU-...``, ``MIG-...``).
    """
    entries = (part.strip() for part in mask.split(","))
    return list(
        takewhile(lambda entry: entry.isdigit() or entry.startswith(("GPU-", "MIG-")), entries)
    )


def _visible(memory: list[int], mask: str | None) -> list[int]:
    if mask is None or not memory:
        return memory
    visible = []
    for entry in visible_gpus(mask):
        if not entry.isdigit():
            visible.append(0)
        elif int(entry) < len(memory):
            visible.append(memory[int(entry)])
        else:
            break
    return visible


def _memory_of(name: str, memory: list[int]) -> int:
    _, _, index = name.partition(":")
    return memory[int(index)] if index and int(index) < len(memory) else 0


def usable_cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory_mib() -> int:
    """Memory this process may use, in MiB: the machine's, or its container's share."""
    found = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        found = min(found, int(_MEMORY_LIMIT.read_text(encoding="ascii")))
    return found // 2**20
