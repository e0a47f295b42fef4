"""Trainers a user might name in a preset."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.lr_schedule.nnUNetTrainer_warmup import (
    nnUNetTrainer_warmup,
)

CUDA = torch.device("cuda")


class _Short(nnUNetTrainer):  # type: ignore[misc]
    """Ends after ``length``: epochs, steps per epoch, validation steps per epoch."""

    length: ClassVar = (1, 1, 1)

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = CUDA,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch = self.length[:2]
        self.num_val_iterations_per_epoch = self.length[2]


class RmspropTrainer(_Short):
    """Its own epochs, steps and optimiser."""

    length = (3, 2, 1)

    def configure_optimizers(self) -> tuple[Any, Any]:
        optimizer = torch.optim.RMSprop(self.network.parameters(), 1e-3)
        return optimizer, PolyLRScheduler(optimizer, 1e-3, self.num_epochs)


class WarmupTrainer(_Short, nnUNetTrainer_warmup):  # type: ignore[misc]
    """Changes its schedule after the first epoch, as a resumed one must too."""

    length = (4, 1, 1)

    def initialize(self) -> None:
        self.warmup_duration_whole_net = 1
        super().initialize()


class SmallMemory(_Short):
    """Its device holds one patch at a time."""

    limit = 1
    error: type[Exception] = torch.OutOfMemoryError

    length = (2, 2, 1)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["data"].shape[0] > self.limit:
            raise self.error("MPS backend out of memory. Tried to allocate 1 GB.")
        result: dict[str, Any] = super().train_step(batch)
        return result


class NoMemory(SmallMemory):
    """Its device holds no patch at all; it raises as MPS does."""

    limit = 0
    error = RuntimeError


class ScaledTrainer(SmallMemory):
    """Mixed precision as on CUDA: a gradient scaler, and memory runs out after it has unscaled."""

    def initialize(self) -> None:
        super().initialize()
        self.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["data"].shape[0] > self.limit:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(self.network(batch["data"]), batch["target"])
            self.grad_scaler.scale(loss).backward()
            self.grad_scaler.unscale_(self.optimizer)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        result: dict[str, Any] = nnUNetTrainer.train_step(self, batch)
        return result


class DivergingTrainer(SmallMemory):
    """Learns for an epoch, then loses its weights."""

    limit = 4

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = super().train_step(batch)
        if self.current_epoch == 1:
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))
        return result


class ShortTrainer(_Short):
    """nnU-Net's own trainer in everything but its length."""

    length = (1, 2, 1)
