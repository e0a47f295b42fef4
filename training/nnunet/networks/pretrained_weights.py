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
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise TrainingError(
            f"The weights {path} can't be read: {error}", remedy=WEIGHTS_REMEDY
        ) from error
    except pickle.UnpicklingError:
        weights = None  # its message says how to run code that may be in the file
    if not isinstance(weights, dict):
        raise TrainingError(f"{path} is no file of weights.", remedy=WEIGHTS_REMEDY)
    return weights
