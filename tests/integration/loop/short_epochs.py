"""A trainer for what happens between epochs: they are short, and as many as ever."""

from __future__ import annotations

from typing import Any

import torch

from training.nnunet.learning.preset_trainer import PresetTrainer

_CPU = torch.device("cpu")


class ShortEpochsTrainer(PresetTrainer):
    """20 steps an epoch where the preset has 50."""

    steps = 20

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = _CPU,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch = self.steps
