"""The ImageNet weights of EfficientNet-Lite0, from an installed package; never from a network."""

from __future__ import annotations

import pickle
from typing import Any

import torch

from domain.errors import TrainingError
from training.pretrained import WEIGHTS_REMEDY, weights_file


def read_weights() -> dict[str, torch.Tensor]:
    """The state dict, on the CPU.

    Raises:
        SettingsError: The package is not installed.
        TrainingError: Its file is broken.
    """
    path = weights_file()
    try:
        weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"The weights {path} can't be read: {error}", remedy=WEIGHTS_REMEDY
        ) from error
    return weights
