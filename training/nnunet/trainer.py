"""LoopTrainer: nnU-Net's trainer with a preset, a time budget and a log a program can read."""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from converters.files import replace_with
from training.folds import FINAL, LATEST, PROGRESS, EpochProgress, FoldSpec
from training.nnunet.environment import nnunet_roots
from training.nnunet.plans import CONFIGURATION

_MEASURED_STEPS = 4
"""Optimiser steps timed before epochs are planned; the first is left out (allocations)."""


class LoopTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """Trains one fold of a ``FoldSpec``; nnU-Net does the rest.

    Use ``make_trainer``: nnU-Net's constructor takes a fixed set of arguments.
    """

    spec: FoldSpec
    started: float
    reserve_s: float
    spent_s: float
    warm_started: bool

    def configure(self, spec: FoldSpec, *, started: float) -> None:
        """Takes over the preset; ``started`` is the process's start on the monotonic clock."""
        preset = spec.preset
        self.spec, self.started = spec, started
        self.reserve_s = self.spent_s = 0.0
        self.warm_started = False
        self.num_epochs = preset.epochs
        self.num_iterations_per_epoch = preset.iterations_per_epoch
        self.num_val_iterations_per_epoch = preset.val_iterations
        self.initial_lr = preset.lr
        self.weight_decay = preset.weight_decay
        self.oversample_foreground_percent = preset.oversample_foreground
        # With batches of 2 the fraction would be rounded to 0, 1/2 or 1.
        self.probabilistic_oversampling = True
        self.output_folder = self.output_folder_base = str(spec.fold_dir)

    @property
    def plain_network(self) -> torch.nn.Module:
        """The network without torch.compile's wrapper."""
        network: torch.nn.Module = getattr(self.network, "_orig_mod", self.network)
        return network

    def configure_optimizers(self) -> tuple[Any, Any]:
        """AdamW or nnU-Net's SGD, under nnU-Net's poly schedule."""
        if self.spec.preset.optimizer == "sgd":
            return super().configure_optimizers()  # type: ignore[no-any-return]
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay
        )
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802
        """nnU-Net's, with mirroring left out when the preset says so."""
        rotation, dummy_2d, patch, axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if not self.spec.preset.mirroring:
            axes = ()
            self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, patch, axes

    def on_train_start(self) -> None:
        """nnU-Net's, without the plots and the files it shares between folds."""
        if not self.was_initialized:
            self.initialize()
        self.dataloader_train, self.dataloader_val = self.get_dataloaders()
        self.set_deep_supervision_enabled(self.enable_deep_supervision)
        self._plan_epochs(self._measure_epoch())

    def on_epoch_end(self) -> None:
        """Reports the epoch, saves checkpoint_latest, plans again under a budget."""
        self.logger.log("epoch_end_timestamps", time.time(), self.current_epoch)
        started = self.logger.get_value("epoch_start_timestamps", step=-1)
        seconds = self.logger.get_value("epoch_end_timestamps", step=-1) - started
        dice = self.logger.get_value("mean_fg_dice", step=-1)
        self._report(
            EpochProgress(
                fold=self.spec.fold,
                epoch=self.current_epoch + 1,
                epochs=self.num_epochs,
                train_loss=float(self.logger.get_value("train_losses", step=-1)),
                val_loss=float(self.logger.get_value("val_losses", step=-1)),
                dice=float(dice) if np.isfinite(dice) else None,
                seconds=seconds,
                time=time.time(),
            )
        )
        self.save_checkpoint(str(self.spec.fold_dir / LATEST))
        self.current_epoch += 1
        self._plan_epochs(seconds)

    def on_train_end(self) -> None:
        """Saves checkpoint_final; checkpoint_latest stays until the fold has its result."""
        self.current_epoch -= 1
        self.save_checkpoint(str(self.spec.fold_dir / FINAL))
        self.current_epoch += 1
        for loader in (self.dataloader_train, self.dataloader_val):
            if hasattr(loader, "_finish"):
                loader._finish()

    def run_training(self) -> None:
        """nnU-Net's loop, reading the number of epochs anew each time."""
        self.on_train_start()
        while self.current_epoch < self.num_epochs:
            self.on_epoch_start()
            self.on_train_epoch_start()
            self.on_train_epoch_end(
                [
                    self.train_step(next(self.dataloader_train))
                    for _ in range(self.num_iterations_per_epoch)
                ]
            )
            with torch.no_grad():
                self.on_validation_epoch_start()
                self.on_validation_epoch_end(
                    [
                        self.validation_step(next(self.dataloader_val))
                        for _ in range(self.num_val_iterations_per_epoch)
                    ]
                )
            self.on_epoch_end()
        self.on_train_end()

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's checkpoint, written whole or not at all, loadable with ``weights_only``.

        ``trainer_name`` is nnU-Net's default: looking up any other name imports torchvision.
        """
        scaler = self.grad_scaler
        checkpoint = {
            "network_weights": self.plain_network.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": scaler.state_dict() if scaler is not None else None,
            "logging": _plain(self.logger.get_checkpoint()),
            "_best_ema": None,
            "current_epoch": self.current_epoch + 1,
            "init_args": {
                "plans": self.plans_manager.plans,
                "configuration": self.configuration_name,
                "fold": self.fold,
                "dataset_json": self.dataset_json,
            },
            "trainer_name": nnUNetTrainer.__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
            "nnloop": {
                "epochs": self.num_epochs,
                "spent_s": self.spent_s + time.monotonic() - self.started,
                "warm_started": self.warm_started,
            },
        }
        if Path(filename).name == FINAL:
            # Prediction and warm starts need the weights only: a third of the bytes.
            checkpoint["optimizer_state"] = checkpoint["grad_scaler_state"] = None
        replace_with(Path(filename), lambda path: torch.save(checkpoint, path))

    def resume(self) -> bool:
        """Continues from checkpoint_latest if there is one; says whether it did."""
        path = self.spec.fold_dir / LATEST
        if not path.exists():
            return False
        checkpoint = torch.load(path, map_location=self.device, weights_only=True)
        # Not nnU-Net's load_checkpoint: given a dict it fails, given a path it unpickles anything.
        self.plain_network.load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if self.grad_scaler is not None:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.logger.load_checkpoint(checkpoint["logging"])
        self.current_epoch = checkpoint["current_epoch"]
        self.lr_scheduler.max_steps = checkpoint["nnloop"]["epochs"]
        self.num_epochs = checkpoint["nnloop"]["epochs"]
        self.spent_s = checkpoint["nnloop"]["spent_s"]
        self.warm_started = checkpoint["nnloop"]["warm_started"]
        _seed(self.spec.seed + self.current_epoch)
        return True

    def warm_start(self, path: Path) -> bool:
        """Loads the full network of an earlier checkpoint; False when its shapes differ."""
        if not self.was_initialized:
            self.initialize()
        weights = torch.load(path, map_location=self.device, weights_only=True)["network_weights"]
        own = self.plain_network.state_dict()
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
            return False
        self.plain_network.load_state_dict(weights)
        self.warm_started = True
        return True

    def print_to_log_file(self, *args: Any, **_: Any) -> None:
        """To standard output, which is the fold's log."""
        print(time.strftime("%H:%M:%S"), *args, flush=True)  # noqa: T201

    def _measure_epoch(self) -> float:
        if self.spec.budget_s is None:
            return 0.0
        self.network.train()
        self.lr_scheduler.step(self.current_epoch)
        self.train_step(next(self.dataloader_train))
        started = time.monotonic()
        for _ in range(_MEASURED_STEPS - 1):
            self.train_step(next(self.dataloader_train))
        step_s = (time.monotonic() - started) / (_MEASURED_STEPS - 1)
        return step_s * (self.num_iterations_per_epoch + 0.5 * self.num_val_iterations_per_epoch)

    def _plan_epochs(self, epoch_s: float) -> None:
        """Sets how many epochs fit the budget; the poly schedule then ends with the last one."""
        if self.spec.budget_s is None:
            return
        left = self.spec.budget_s - self.reserve_s - self.spent_s
        left -= time.monotonic() - self.started
        self.num_epochs = max(self.current_epoch + int(left / max(epoch_s, 1e-3)), 1)
        self.num_epochs = max(self.num_epochs, self.current_epoch)
        self.lr_scheduler.max_steps = self.num_epochs

    def _report(self, progress: EpochProgress) -> None:
        row = {name: getattr(progress, name) for name in EpochProgress.__slots__}
        with (self.spec.fold_dir / PROGRESS).open("a") as file:
            file.write(json.dumps(row) + "\n")


def make_trainer(
    spec: FoldSpec, plans: dict[str, Any], dataset: dict[str, Any], *, started: float
) -> LoopTrainer:
    """A configured trainer, its network not yet built.

    Args:
        spec: What to train.
        plans: plans.json of the prepared dataset.
        dataset: dataset.json of the prepared dataset.
        started: The process's start on the monotonic clock; budgets count from it.
    """
    _seed(spec.seed)
    device = torch.device(spec.device.split(":")[0])
    workspace = spec.workspace
    # nnU-Net makes a folder tree below its results root before we can say where to write.
    with (
        tempfile.TemporaryDirectory() as scratch,
        nnunet_roots(workspace.raw_root, workspace.preprocessed_root, Path(scratch)),
    ):
        trainer = LoopTrainer(
            {**plans, "continue_training": False}, CONFIGURATION, spec.fold, dataset, device
        )
    trainer.configure(spec, started=started)
    return trainer


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _plain(value: Any) -> Any:
    """Numpy numbers as Python's own, so that loading needs no unpickling of foreign types."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
