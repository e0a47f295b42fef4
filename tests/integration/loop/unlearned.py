"""A trainer that makes a version worse on purpose: its network stays as it was drawn at random."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from training.nnunet.learning.preset_trainer import PresetTrainer


class UnlearnedTrainer(PresetTrainer):
    """Reports a loss and changes no weight; it takes its time, and leaves the cores to others."""

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.1)
        return {"loss": np.float32(1.0)}
