"""torch's device of a name, where this machine has it."""

from __future__ import annotations

import torch

from domain.errors import DeviceError
from domain.text import counted
from training.devices import VARIABLE


def usable_device(name: str) -> torch.device:
    """Torch's device of a name.

    Without this a network that is moved there says "Found no NVIDIA driver", or "invalid device
    ordinal", and whoever runs it is blamed.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:<i>`` (an index into the visible GPUs) or ``mps``.

    Raises:
        DeviceError: It is not there, or this torch can't use it.
    """
    device = torch.device(name)
    if device.type == "cuda":
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        is_there = (device.index or 0) < n_gpus
        sees = f"sees {counted(n_gpus, 'GPU')}" if n_gpus else "sees no GPU"
    else:
        is_there = device.type != "mps" or torch.backends.mps.is_available()
        sees = "sees none"
    if not is_there:
        raise DeviceError(
            f"{name} can't be used on this machine: torch {torch.__version__} {sees}.",
            remedy=f"Correct {VARIABLE}, or unset it; where nvidia-smi lists the GPU, its driver "
            "is too old for this torch, or torch is a build for CPUs.",
        )
    return device
