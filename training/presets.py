"""Preset: how large the network is, and how long it trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from domain.errors import SettingsError
from domain.hashing import content_hash

OWN_TRAINER = "PresetTrainer"
"""nnloop's trainer: the only one that takes optimiser, schedule and epochs from the preset."""

DEFAULT_PLANNER = "ExperimentPlanner"


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything that shapes a fold's training, besides the data.

    None means: what nnU-Net plans by itself.

    Attributes:
        name: The word users write.
        n_folds: Folds wanted; fewer groups give fewer folds.
        epochs: Epochs without a time budget. A budget replaces it.
        budget_s: Seconds that training all folds may take where nobody has said so; None: no limit.
        iterations_per_epoch: Optimiser steps per epoch.
        val_iterations: Held-out batches per epoch, behind nnU-Net's pseudo Dice.
        max_image_side: Longest side, in pixels, of the median image after resampling. Set through
            the configuration's ``spacing``, so that nnU-Net resamples images before training and
            probabilities back after prediction. Never enlarges. None keeps every pixel.
        min_image_side: Below ``max_image_side``, how far images may be made smaller still where the
            classes keep their shapes (``training.nnunet.data.resolution``); None: not at all.
        max_fine_side: Above ``max_image_side``, how large images may stay where the classes lose
            their shapes at that size: then training sees patches, prediction tiles; None: not at
            all.
        max_patch_side: Longest side of a patch in pixels (after resampling).
        network: ``pretrained``: a U-Net on an encoder with ImageNet weights
            (``training.nnunet.networks.pretrained_unet``); None: the planner's.
        features_per_stage: Width of each U-Net stage; its length is the number of stages. Of
            ``pretrained`` the first stage's alone: its encoder's are fixed.
        n_conv_per_stage: Convolutions per stage, encoder and decoder alike.
        batch_size: Patches per step.
        batch_pixels: Where ``batch_size`` is None: pixels per step, all patches together; at least
            2 patches.
        min_batch_pixels: Where both are None: pixels per step at least. nnU-Net plans 2 patches for
            any set of a few dozen images, however large the GPU.
        optimizer: ``adamw``, or nnU-Net's ``sgd`` with momentum 0.99.
        lr: Learning rate at the start; falls as (1 - t) ** 0.9.
        pretrained_lr: Of pretrained parameters, as a fraction of ``lr``.
        weight_decay: Of the optimiser.
        oversample_foreground: Fraction of patches centred on a labelled pixel, in [0, 1].
        mirroring: Mirror at random in training.
        mirror_predict: Test-time mirroring: 4 forward passes instead of 1.
        tile_step: Sliding-window step as a fraction of the patch, in (0, 1].
        compile: torch.compile, on CUDA only; about a minute of start-up.
        trainer: ``PresetTrainer``, or a trainer by its name (``nnUNetTrainer_250epochs``) or as
            ``package.module:Class``. Any other than ``PresetTrainer`` keeps its own optimiser,
            schedule, augmentation, epochs and loss; the fields here that set these are then unused.
        planner: Likewise a planner (``nnUNetPlannerResEncM``).
        plans: Plans used instead of planning: a file, or a name (``named_plans``).
        gpu_memory_gb: Memory of the GPU that the planner plans for; None: the planner's own target.
        fast_export: Probabilities are resampled to the image's size by torch instead of skimage.
        postprocess: Look for nnU-Net's postprocessing on the held-out cases of all folds.
        augmentation: ``nnunet``: nnU-Net's own; ``warp``: nnloop's, from cases kept in memory,
            what a CPU needs (``training.nnunet.learning.augmentation``).
        bfloat16: Training steps in bfloat16 on CPUs that have it in hardware.
        warm_shrink: Share of an earlier version's weights that a warm start keeps, in [0, 1]; the
            rest is fresh (``training.nnunet.learning.warm_start``). What won: docs/warm-start.md.
        warm_lr: A warm start's learning rate, as a fraction of ``lr``.
        patience: Epochs without improvement on held-out cases after which the rest of the schedule
            is shortened; None: never. See ``training.folds.plateau``.
    """

    name: str
    n_folds: int
    epochs: int
    iterations_per_epoch: int
    val_iterations: int
    max_image_side: int | None
    max_patch_side: int | None
    features_per_stage: tuple[int, ...] | None
    n_conv_per_stage: int | None
    batch_size: int | None
    optimizer: Literal["adamw", "sgd"]
    lr: float
    weight_decay: float
    oversample_foreground: float
    mirroring: bool
    mirror_predict: bool
    tile_step: float
    compile: bool
    trainer: str = OWN_TRAINER
    planner: str = DEFAULT_PLANNER
    min_image_side: int | None = None
    max_fine_side: int | None = None
    augmentation: Literal["nnunet", "warp"] = "nnunet"
    bfloat16: bool = False
    batch_pixels: int | None = None
    min_batch_pixels: int | None = None
    budget_s: float | None = None
    warm_shrink: float = 0.5
    warm_lr: float = 1.0
    patience: int | None = None
    network: Literal["pretrained"] | None = None
    pretrained_lr: float = 1.0
    plans: str | None = None
    gpu_memory_gb: float | None = None
    fast_export: bool = True
    postprocess: bool = False

    @property
    def plan_key(self) -> str:
        """SHA-256 (hex) over the fields that plans depend on: another key needs new plans."""
        return content_hash(
            [
                self.max_image_side,
                self.min_image_side,
                self.max_fine_side,
                self.max_patch_side,
                self.features_per_stage,
                self.n_conv_per_stage,
                self.batch_size,
                self.batch_pixels,
                self.min_batch_pixels,
                self.network,
                self.planner,
                self.plans,
                self.gpu_memory_gb,
                self.fast_export,
            ]
        )

    def customized(
        self,
        *,
        trainer: str = "",
        planner: str = "",
        plans: str = "",
        gpu_memory_gb: float | None = None,
    ) -> Preset:
        """The preset with what a user has named; "" and None leave it as it is.

        A named planner's plans, or named plans, are used as they are: every field that would edit
        them is dropped.

        Raises:
            SettingsError: Both a planner, or memory to plan for, and plans are named.
        """
        if plans and (planner or gpu_memory_gb is not None):
            named = f"the planner {planner!r}" if planner else f"{gpu_memory_gb:g} GB to plan for"
            raise SettingsError(
                f"Both the plans {plans!r} and {named} are set, but named plans are not planned.",
                remedy="Set one and leave the other empty.",
            )
        found = replace(
            self,
            trainer=trainer or self.trainer,
            planner=planner or self.planner,
            plans=plans or self.plans,
            gpu_memory_gb=self.gpu_memory_gb if gpu_memory_gb is None else gpu_memory_gb,
        )
        if not (planner or plans):
            return found
        return replace(
            found,
            max_image_side=None,
            min_image_side=None,
            max_fine_side=None,
            max_patch_side=None,
            network=None,
            features_per_stage=None,
            n_conv_per_stage=None,
            batch_size=None,
            batch_pixels=None,
            min_batch_pixels=None,
            fast_export=False,
        )


TINY = Preset(
    name="tiny",
    n_folds=3,
    epochs=20,
    iterations_per_epoch=50,
    val_iterations=2,
    max_image_side=256,
    max_patch_side=256,
    features_per_stage=(8, 16, 32, 64, 64, 64),
    n_conv_per_stage=1,
    batch_size=None,
    optimizer="adamw",
    lr=4e-3,
    weight_decay=0.01,
    oversample_foreground=0.33,
    mirroring=True,
    mirror_predict=True,
    tile_step=0.75,
    compile=False,
    patience=40,
    min_image_side=128,
    max_fine_side=1024,
    augmentation="warp",
    bfloat16=True,
    batch_pixels=4 * 128 * 128,
)
"""For a CPU: one to two minutes per fold with one thread; a patch shows the whole image. How its
values were found: docs/tiny-preset.md."""

PRETRAINED = replace(
    TINY,
    name="pretrained",
    network="pretrained",
    epochs=8,
    features_per_stage=(8,),
    lr=6e-3,
    pretrained_lr=0.1,
    warm_shrink=1.0,
)
"""For a CPU and few labels: ``tiny`` on an encoder that has seen ImageNet, as long in fewer steps.
How its values were found: docs/pretrained-preset.md, docs/warm-start.md."""

FAST = Preset(
    name="fast",
    n_folds=3,
    epochs=60,
    iterations_per_epoch=100,
    val_iterations=10,
    max_image_side=None,
    max_patch_side=512,
    features_per_stage=None,
    n_conv_per_stage=None,
    batch_size=None,
    optimizer="sgd",
    lr=1e-2,
    weight_decay=3e-5,
    oversample_foreground=0.33,
    mirroring=True,
    mirror_predict=True,
    tile_step=0.5,
    compile=False,
    patience=20,
    min_batch_pixels=2**20,
    budget_s=360.0,
)
"""For the loop on a GPU: nnU-Net's network at full resolution, a fraction of its steps."""

FULL = Preset(
    name="full",
    n_folds=5,
    epochs=1000,
    iterations_per_epoch=250,
    val_iterations=50,
    max_image_side=None,
    max_patch_side=None,
    features_per_stage=None,
    n_conv_per_stage=None,
    batch_size=None,
    optimizer="sgd",
    lr=1e-2,
    weight_decay=3e-5,
    oversample_foreground=0.33,
    mirroring=True,
    mirror_predict=True,
    tile_step=0.5,
    compile=True,
    trainer="nnUNetTrainer",
    fast_export=False,
    postprocess=True,
)
"""nnU-Net's own defaults (``nnUNetTrainer`` 2.8.1); nothing of its plans is edited."""

PRESETS = MappingProxyType({preset.name: preset for preset in (TINY, PRETRAINED, FAST, FULL)})


def preset_by_name(name: str) -> Preset:
    """The preset with this name.

    Raises:
        SettingsError: There is none.
    """
    if name not in PRESETS:
        raise SettingsError(
            f"There is no preset {name!r}.", remedy=f"Choose one of {', '.join(PRESETS)}."
        )
    return PRESETS[name]


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A preset, and why it was taken: half a sentence, "" where a person has chosen it."""

    preset: Preset
    reason: str = ""


def choose_preset(n_gpus: int, *, has_weights: bool = True) -> PresetChoice:
    """What ``auto`` means: by the devices.

    Not by the number of labels: on a CPU ``pretrained`` won with few and with many
    (docs/pretrained-preset.md), and another network would start from nothing.

    Args:
        n_gpus: GPUs to train on.
        has_weights: Whether the weights of ``pretrained`` are installed.
    """
    if n_gpus > 0:
        return PresetChoice(FAST, "there is a GPU")
    if not has_weights:
        return PresetChoice(
            TINY, f"on a CPU; the weights of {PRETRAINED.name}, better there, are not installed"
        )
    return PresetChoice(PRETRAINED, "on a CPU")
