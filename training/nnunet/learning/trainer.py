"""LoopTrainer: nnU-Net's training loop with a budget, an early end and a readable log."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.helpers import empty_cache

from domain.errors import TrainingError
from training.folds.epoch_plan import EpochPlan
from training.folds.log import progress_in_words, write_progress
from training.folds.spec import FINAL, LATEST, EpochProgress, FoldSpec
from training.nnunet.architecture import as_called_today
from training.nnunet.base_trainer import nnUNetTrainer
from training.nnunet.checkpoint import only_weights, plain, read_checkpoint, write_checkpoint
from training.nnunet.classes import trainer_class
from training.nnunet.data.plans import CONFIGURATION
from training.nnunet.environment import nnunet_roots
from training.nnunet.learning.held_out import HeldOutCases, SampleDice
from training.nnunet.learning.limits import WithinLimits
from training.nnunet.learning.randomness import seed_everything
from training.nnunet.learning.schedule import stretch
from training.nnunet.learning.timing import steady_step_s
from training.nnunet.learning.warm_start import head_of, scale_rate, start_weights
from training.nnunet.memory import is_out_of_memory
from training.nnunet.usable_device import usable_device

_END_S = 1.0
"""Between the last epoch and the result, beside the prediction: last checkpoint, curves."""


class LoopTrainer(WithinLimits):
    """The loop around the training of one fold. Use ``make_trainer``.

    It stands before a trainer class in the bases of a new class and takes over what that does
    between epochs: checkpoints, logs, how many epochs there are. Everything about learning
    (optimiser, schedule, augmentation, loss, steps) stays the other's.

    Attributes:
        spec: What to train.
        held_out: The fold's held-out cases.
        plan: How many epochs, and the time they take; set up by ``make_trainer``.
        warm_started: Whether weights of an earlier version were loaded.
        steps: Optimiser steps of all epochs so far.
        on_epoch_done: Called after every epoch, once its checkpoint is written.
    """

    held_out: HeldOutCases
    plan: EpochPlan
    warm_started: bool
    steps: int
    on_epoch_done: Callable[[], None]

    # nnU-Net's own.
    batch_size: int
    num_epochs: int
    num_iterations_per_epoch: int
    num_val_iterations_per_epoch: int
    dataloader_train: Any
    dataloader_val: Any
    grad_scaler: Any

    def configure(self, spec: FoldSpec, held_out: HeldOutCases, *, started: float) -> None:
        """Called once by ``make_trainer``; ``started`` is the process's start, monotonic clock."""
        self.spec, self.held_out, self.warm_started = spec, held_out, False
        self.plan = EpochPlan(
            self.num_epochs,
            budget_s=spec.budget_s,
            patience=spec.preset.patience if spec.holds_out else None,
            started=started,
        )
        self.on_epoch_done = lambda: None
        self.steps, self._sample_s, self._step_s = 0, 0.0, 0.0
        self._longest_epoch = self.num_iterations_per_epoch, self.num_val_iterations_per_epoch
        self.output_folder = self.output_folder_base = str(spec.fold_dir)

    @property
    def plain_network(self) -> torch.nn.Module:
        """The network without torch.compile's wrapper."""
        network: torch.nn.Module = getattr(self.network, "_orig_mod", self.network)
        return network

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes along which predictions are averaged over mirrored images."""
        # None: the network has never seen a mirrored image.
        seen = {*(self.inference_allowed_mirroring_axes or ()), *(axis for axis, *_ in self.swaps)}
        return tuple(sorted(seen)) if self.spec.preset.mirror_predict else ()

    def run_training(self) -> None:
        """nnU-Net's loop, reading the number of epochs anew each time.

        Raises:
            RuntimeError: Memory ran out with batches of 1.
        """
        self._within_memory(self.on_train_start)
        while self.current_epoch < self.num_epochs:
            self._within_memory(self._train_epoch)
            self.on_epoch_end()
        self.on_train_end()

    def on_train_start(self) -> None:
        """nnU-Net's, without the plots and the files it shares between folds; plans epochs."""
        if not self.was_initialized:
            self.initialize()
        if self.dataloader_train is None:
            self.dataloader_train, self.dataloader_val = self.get_dataloaders()
        self.set_deep_supervision_enabled(self.enable_deep_supervision)
        with self.evaluating() as network:
            case_s = self.held_out.seconds_per_case(
                network, epoch=self.current_epoch, mirror_axes=self.mirror_axes
            )
        self.plan.prediction_s = case_s * len(self.held_out.case_ids) + _END_S
        # Until it was measured; mirrored or not, at least what it will cost.
        self._sample_s = self._sample_s or case_s * len(self.held_out.sample)
        self._step_s = self._timed_step_s() if self.plan.has_budget else 0.0
        if self.current_epoch == 0:
            self._set_steps(self.plan.iterations(self._step_s, *self._longest_epoch))
        self._set_epochs(
            self.plan.start(
                self.current_epoch,
                step_s=self._step_s,
                iterations=self.num_iterations_per_epoch,
                val_iterations=self.num_val_iterations_per_epoch,
            )
        )

    def on_epoch_end(self) -> None:
        """Measures, plans again, reports the epoch, saves checkpoint_latest.

        Raises:
            TrainingError: Weights are NaN or infinite; checkpoint_latest stays as it was.
        """
        log = self.logger
        log.log("epoch_end_timestamps", time.time(), self.current_epoch)
        started, ended, train_loss, val_loss, dice = (
            float(log.get_value(key, step=-1))
            for key in (
                "epoch_start_timestamps",
                "epoch_end_timestamps",
                "train_losses",
                "val_losses",
                "mean_fg_dice",
            )
        )
        sample = self._sample_dice(ended - started)
        progress = EpochProgress(
            fold=self.spec.fold,
            epoch=self.current_epoch + 1,
            epochs=self.num_epochs,
            train_loss=train_loss,
            val_loss=val_loss,
            dice=dice if np.isfinite(dice) else None,
            seconds=ended - started,
            time=time.time(),
            case_dice=sample.per_class,
        )
        self.steps += self.num_iterations_per_epoch
        steps = self.plan.iterations(self._step_s, *self._longest_epoch)
        self._set_epochs(
            self.plan.epoch_done(
                progress.epoch,
                trained_s=progress.seconds,
                measured_s=sample.seconds,
                val_loss=val_loss,
                dice=sample.trend,
                next_steps=steps,
            )
        )
        self._set_steps(steps)
        if not np.isfinite(train_loss):
            self._require_finite_weights(train_loss)
        eta_s = self.plan.eta_s(progress.epoch, self.num_epochs)
        self._report(replace(progress, epochs=self.num_epochs, eta_s=eta_s))
        self.save_checkpoint(str(self.spec.fold_dir / LATEST))
        self.current_epoch += 1
        self.on_epoch_done()

    def on_train_end(self) -> None:
        """Saves checkpoint_final; checkpoint_latest stays until the fold has its result."""
        self.current_epoch -= 1
        self.save_checkpoint(str(self.spec.fold_dir / FINAL))
        self.current_epoch += 1
        self._close_loaders()
        empty_cache(self.device)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[torch.nn.Module]:
        """The plain network in evaluation mode, its deep supervision off within the block."""
        self.set_deep_supervision_enabled(False)
        self.network.eval()
        try:
            yield self.plain_network
        finally:
            self.set_deep_supervision_enabled(self.enable_deep_supervision)

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's checkpoint, written whole or not at all, loadable with ``weights_only``.

        ``trainer_name`` is nnU-Net's default: looking up any other name imports torchvision. The
        class used is in ``nnloop``.
        """
        # Prediction and warm starts need the weights only: a third of the bytes.
        is_final = Path(filename).name == FINAL
        scaler = None if is_final else self.grad_scaler
        write_checkpoint(
            Path(filename),
            {
                "network_weights": self.plain_network.state_dict(),
                "optimizer_state": None if is_final else self.optimizer.state_dict(),
                "grad_scaler_state": None if scaler is None else scaler.state_dict(),
                "logging": plain(self.logger.get_checkpoint()),
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
                    "trainer": self.spec.preset.trainer,
                    "epochs": self.num_epochs,
                    "iterations": self.num_iterations_per_epoch,
                    "val_iterations": self.num_val_iterations_per_epoch,
                    "steps": self.steps,
                    "batch_size": self.batch_size,
                    "warm_started": self.warm_started,
                    "plan": self.plan.to_json(),
                    "swaps": [list(swap) for swap in self.swaps],
                },
            },
        )

    def resume(self) -> bool:
        """Continues from checkpoint_latest if there is one; says whether it did."""
        path = self.spec.fold_dir / LATEST
        if not path.exists():
            return False
        state = read_checkpoint(path, torch.device("cpu"))["nnloop"]
        with only_weights():
            # The trainer's own: some put another optimiser in place first.
            self.load_checkpoint(str(path))
        self._set_epochs(state["epochs"])
        self._set_steps((state["iterations"], state["val_iterations"]))
        self.steps = state["steps"]
        self.batch_size = state["batch_size"]
        self.warm_started = state["warm_started"]
        if self.warm_started:
            scale_rate(self.lr_scheduler, self.spec.preset.warm_lr)
        self.plan.restore(state["plan"])
        seed_everything(self.spec.seed + self.current_epoch)
        return True

    def warm_start(self, path: Path) -> bool:
        """Starts from the network of an earlier checkpoint; False when its shapes differ.

        How closely, and at which learning rate, is the preset's choice. Where other unions of
        classes were learned, its outputs begin fresh.
        """
        checkpoint = read_checkpoint(path, self.device)
        old = checkpoint["network_weights"]
        head = head_of(checkpoint, self.dataset_json, self.spec.head)
        preset, own = self.spec.preset, self.plain_network.state_dict()
        weights = start_weights(old, own, shrink=preset.warm_shrink, head=head)
        if weights is None:
            return False
        self.plain_network.load_state_dict(weights)
        scale_rate(self.lr_scheduler, preset.warm_lr)
        self.warm_started = True
        return True

    def print_to_log_file(self, *args: Any, **_: Any) -> None:
        """To standard output, which is the fold's log."""
        print(time.strftime("%H:%M:%S"), *args, flush=True)  # noqa: T201

    def _train_epoch(self) -> None:
        self.on_epoch_start()
        self.on_train_epoch_start()
        started, steps = time.monotonic(), range(self.num_iterations_per_epoch)
        losses = [self.train_step(next(self.dataloader_train)) for _ in steps]
        self._step_s = (time.monotonic() - started) / len(steps)
        self.on_train_epoch_end(losses)
        with torch.no_grad():
            self.on_validation_epoch_start()
            steps = range(self.num_val_iterations_per_epoch)
            losses = [self.validation_step(next(self.dataloader_val)) for _ in steps]
            self.on_validation_epoch_end(losses)

    def _within_memory(self, work: Callable[[], None]) -> None:
        """Does ``work``; when memory runs out, halves the batch and does it again."""
        while True:
            try:
                work()
            except (RuntimeError, MemoryError) as error:
                if self.batch_size <= 1 or not is_out_of_memory(error):
                    raise
                message = str(error).partition("\n")[0]
            else:
                return
            # Outside the except block: until here the traceback held what the step had allocated.
            self._halve_batch(message)

    def _halve_batch(self, message: str) -> None:
        self.batch_size //= 2
        self.print_to_log_file(f"{message} Going on with batches of {self.batch_size}.")
        self._close_loaders()
        self.optimizer.zero_grad(set_to_none=True)
        if self.grad_scaler is not None:
            # It may have been left between unscaling and the step.
            fresh = type(self.grad_scaler)(self.device.type)
            fresh.load_state_dict(self.grad_scaler.state_dict())
            self.grad_scaler = fresh
        empty_cache(self.device)
        self.dataloader_train, self.dataloader_val = self.get_dataloaders()

    def _close_loaders(self) -> None:
        for loader in (self.dataloader_train, self.dataloader_val):
            if hasattr(loader, "_finish"):
                loader._finish()
        self.dataloader_train = self.dataloader_val = None

    def _sample_dice(self, epoch_s: float) -> SampleDice:
        """Dice of the sample of held-out cases where its cost allows it."""
        if not self.held_out.sample or not self.plan.may_measure(self._sample_s, epoch_s):
            return SampleDice()
        with self.evaluating() as network:
            found = self.held_out.sample_dice(network, epoch=self.current_epoch + 1)
        self._sample_s = found.seconds
        return found

    def _timed_step_s(self) -> float:
        """Seconds of one optimiser step; those that are timed count as training."""
        self.network.train()
        self.lr_scheduler.step(self.current_epoch)
        loader = self.dataloader_train
        return steady_step_s(lambda: self.train_step(next(loader)), loader)

    def _require_finite_weights(self, train_loss: float) -> None:
        """Raises when weights are NaN or infinite: no further training recovers from that."""
        if all(bool(torch.isfinite(weight).all()) for weight in self.plain_network.parameters()):
            return  # a bad batch: its step was left out, as mixed precision does
        raise TrainingError(
            f"The weights of fold {self.spec.fold} were no numbers any more after epoch "
            f"{self.current_epoch + 1} (train_loss {train_loss}).",
            remedy="Train again: the fold goes on from the epoch before. If that does not help, "
            "train from scratch, or with a lower learning rate.",
        )

    def _set_steps(self, steps: tuple[int, int]) -> None:
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = steps

    def _set_epochs(self, epochs: int) -> None:
        stretch(self.lr_scheduler, self.num_epochs, epochs)
        self.num_epochs = epochs

    def _report(self, progress: EpochProgress) -> None:
        self.print_to_log_file(progress_in_words(progress))
        write_progress(self.spec.fold_dir, progress)


def make_trainer(
    spec: FoldSpec, plans: dict[str, Any], dataset: dict[str, Any], *, started: float
) -> LoopTrainer:
    """A configured trainer, its network not yet built.

    Its class derives from ``LoopTrainer`` and the preset's trainer.

    Args:
        spec: What to train.
        plans: plans.json of the prepared dataset.
        dataset: dataset.json of the prepared dataset.
        started: The process's start on the monotonic clock; budgets count from it.

    Raises:
        DeviceError: The spec's device is not there.
        TrainingError: The preset's trainer can't be found.
    """
    base = trainer_class(spec.preset.trainer)
    attributes = {"preset": spec.preset, **as_called_today(base, dataset)}
    bound: type[LoopTrainer] = type(base.__name__, (LoopTrainer, base), attributes)
    seed_everything(spec.seed)
    device = usable_device(spec.device.split(":")[0])
    workspace = spec.workspace
    # nnU-Net makes a folder tree below its results root before we can say where to write.
    with (
        tempfile.TemporaryDirectory() as scratch,
        nnunet_roots(workspace.raw_root, workspace.preprocessed_root, Path(scratch)),
    ):
        trainer = bound(
            {**plans, "continue_training": False}, CONFIGURATION, spec.fold, dataset, device
        )
    held_out = HeldOutCases(spec, plans, dataset, device=str(trainer.device))
    trainer.configure(spec, held_out, started=started)
    return trainer
