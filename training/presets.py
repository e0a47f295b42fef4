"""Preset: how large the network is, and how long it trains."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from domain.case import content_hash
from domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything that shapes a fold's training, besides the data.

    None means: what nnU-Net plans by itself.

    Attributes:
        name: The word users write.
        n_folds: Folds wanted; fewer groups give fewer folds.
        epochs: Epochs without a time budget. A budget replaces it.
        iterations_per_epoch: Optimiser steps per epoch.
        val_iterations: Held-out batches per epoch, behind nnU-Net's pseudo Dice.
        max_image_side: Longest side, in pixels, of the median image after resampling. Set through
            the configuration's ``spacing``, so that nnU-Net resamples images before training and
            probabilities back after prediction. Never enlarges. None keeps every pixel.
        max_patch_side: Longest side of a patch in pixels (after resampling).
        features_per_stage: Width of each U-Net stage; its length is the number of stages.
        n_conv_per_stage: Convolutions per stage, encoder and decoder alike.
        batch_size: Patches per step.
        optimizer: ``adamw``, or nnU-Net's ``sgd`` with momentum 0.99.
        lr: Learning rate at the start; falls as (1 - t) ** 0.9.
        weight_decay: Of the optimiser.
        oversample_foreground: Fraction of patches centred on a labelled pixel, in [0, 1].
        mirroring: Mirror at random in training.
        mirror_predict: Test-time mirroring: 4 forward passes instead of 1.
        tile_step: Sliding-window step as a fraction of the patch, in (0, 1].
        compile: torch.compile, on CUDA only; about a minute of start-up.
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

    @property
    def plan_key(self) -> str:
        """SHA-256 (hex) over the fields that plans depend on: another key needs new plans."""
        return content_hash(
            [
                self.max_image_side,
                self.max_patch_side,
                self.features_per_stage,
                self.n_conv_per_stage,
                self.batch_size,
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON value that ``from_json`` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preset:
        """Reads what ``to_json`` wrote."""
        features = value["features_per_stage"]
        return cls(**{**value, "features_per_stage": tuple(features) if features else None})


TINY = Preset(
    name="tiny",
    n_folds=3,
    epochs=20,
    iterations_per_epoch=25,
    val_iterations=2,
    max_image_side=256,
    max_patch_side=256,
    features_per_stage=(8, 16, 32, 64, 64),
    n_conv_per_stage=1,
    batch_size=2,
    optimizer="adamw",
    lr=4e-3,
    weight_decay=1e-4,
    oversample_foreground=0.5,
    mirroring=True,
    mirror_predict=True,
    tile_step=0.75,
    compile=False,
)
"""For a CPU: one thread, about a minute per fold; a patch shows the whole image."""

FAST = Preset(
    name="fast",
    n_folds=5,
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
)
"""nnU-Net's own defaults (``nnUNetTrainer`` 2.8.1)."""

PRESETS = MappingProxyType({preset.name: preset for preset in (TINY, FAST, FULL)})


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


def choose_preset(n_gpus: int) -> Preset:
    """``fast`` with a GPU, ``tiny`` without."""
    return FAST if n_gpus > 0 else TINY
