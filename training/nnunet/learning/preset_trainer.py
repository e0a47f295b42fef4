"""PresetTrainer: nnU-Net's trainer with the optimiser, schedule and sampling of a preset."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

from training.dataset_labels import unions_of
from training.nnunet.base_trainer import nnUNetTrainer
from training.nnunet.learning.augmentation import Augmentation
from training.nnunet.learning.part_rates import GroupedPolyRate, rate_groups
from training.nnunet.learning.precision import step_autocast
from training.nnunet.learning.warped_batches import WarpedBatches
from training.presets import TINY, Preset
from training.symmetries.symmetries import FULL_TURN, Swap

_MAX_GRADIENT_NORM = 12.0
"""nnU-Net's."""

_CUDA = torch.device("cuda")


class PresetTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """What a preset says about training, and nothing about the loop around it.

    ``training.nnunet.learning.trainer.make_trainer`` puts the two together and sets ``preset``,
    which the constructor reads: nnU-Net's constructor takes a fixed set of arguments. ``swaps`` are
    axes beside the mirrored ones, flipped with classes exchanged, ``max_turn`` is in degrees: the
    loop sets both.
    """

    preset: ClassVar[Preset] = TINY
    swaps: tuple[Swap, ...] = ()
    max_turn: float = FULL_TURN

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = _CUDA,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        preset = self.preset
        self.num_epochs = preset.epochs
        self.num_iterations_per_epoch = preset.iterations_per_epoch
        self.num_val_iterations_per_epoch = preset.val_iterations
        self.initial_lr = preset.lr
        self.weight_decay = preset.weight_decay
        self.oversample_foreground_percent = preset.oversample_foreground
        # With batches of 2 the fraction would be rounded to 0, 1/2 or 1.
        self.probabilistic_oversampling = True

    def configure_optimizers(self) -> tuple[Any, Any]:
        """AdamW or nnU-Net's SGD, under nnU-Net's poly schedule."""
        if self.preset.optimizer == "sgd":
            return super().configure_optimizers()  # type: ignore[no-any-return]
        groups = rate_groups(self.network, self.preset.pretrained_lr)
        optimizer = torch.optim.AdamW(
            groups, self.initial_lr, weight_decay=self.weight_decay, fused=self.device.type == "cpu"
        )
        return optimizer, GroupedPolyRate(optimizer, self.initial_lr, self.num_epochs)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802
        """nnU-Net's, with mirroring left out when the preset says so."""
        rotation, dummy_2d, patch, axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if not self.preset.mirroring:
            axes = ()
            self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, patch, axes

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's loaders, or ``WarpedBatches`` when the preset says so."""
        if self.preset.augmentation == "nnunet":
            return super().get_dataloaders()  # type: ignore[no-any-return]
        self.dataset_class: Any = infer_dataset_class(self.preprocessed_dataset_folder)
        *_, axes = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        flipped = {*axes, *(axis for axis, *_ in self.swaps)}
        augmentation = Augmentation(
            mirror=(0.5 if 0 in flipped else 0.0, 0.5 if 1 in flipped else 0.0),
            max_rotation=self.max_turn,
            swaps=self.swaps,
        )
        train, held_out = self.get_tr_and_val_datasets()
        height, width = self.configuration_manager.patch_size
        both = [
            WarpedBatches(
                dataset,
                batch_size=self.batch_size,
                patch=(height, width),
                scales=self._get_deep_supervision_scales(),
                augmentation=varied,
                oversample_foreground=self.oversample_foreground_percent,
                # Drawn from the seeded generator, which a resumed fold seeds by its epoch.
                seed=int(np.random.randint(2**31)),
                ignore_label=self.label_manager.ignore_label,
                unions=[members for members, _ in unions_of(self.dataset_json)] or None,
            )
            for dataset, varied in ((train, augmentation), (held_out, None))
        ]
        return both[0], both[1]

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's; in bfloat16 on a CPU that has it, when the preset says so."""
        if self.device.type != "cpu":
            return super().train_step(batch)  # type: ignore[no-any-return]
        self.optimizer.zero_grad(set_to_none=True)
        with step_autocast(self.device, bfloat16=self.preset.bfloat16):
            output = self.network(batch["data"])
        # Dice sums thousands of pixels: 8 bits of mantissa would not do.
        scales = output if isinstance(output, list | tuple) else [output]
        scales = [logits.float() for logits in scales]
        loss = self.loss(scales if isinstance(output, list | tuple) else scales[0], batch["target"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MAX_GRADIENT_NORM)
        self.optimizer.step()
        return {"loss": loss.detach().numpy()}
