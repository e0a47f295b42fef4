"""Tiling: the windows of a sliding-window prediction, their weight and their mirrored copies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)

from training.symmetries.symmetries import Swap, class_order

Window = tuple[slice, slice]
"""Rows and columns of a tile in the padded image."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an image is cut into what the network sees.

    Attributes:
        patch_hw: (height, width) of a tile in pixels.
        step: Distance of two tiles as a fraction of the patch, in (0, 1].
        mirror_axes: Axes that tiles are mirrored along, 0 = rows, 1 = columns. The prediction is
            the mean over every combination of them.
        swaps: Classes that change places when an axis is mirrored.
    """

    patch_hw: tuple[int, int]
    step: float
    mirror_axes: tuple[int, ...]
    swaps: tuple[Swap, ...] = ()

    @property
    def mirrorings(self) -> tuple[tuple[int, ...], ...]:
        """Combinations of mirrored axes, () for the tile as it is; in nnU-Net's order."""
        return tuple(
            axes
            for n in range(len(self.mirror_axes) + 1)
            for axes in itertools.combinations(self.mirror_axes, n)
        )

    def class_order(self, axes: tuple[int, ...], n_classes: int) -> tuple[int, ...] | None:
        """Which map of a mirrored tile is each class's; None where every one is its own."""
        return class_order(self.swaps, axes, n_classes)

    def windows(self, size_hw: tuple[int, int]) -> tuple[Window, ...]:
        """nnU-Net's tiles of a padded image, at least as large as the patch."""
        return _windows(size_hw, self.patch_hw, self.step)

    def weight(self, size_hw: tuple[int, int]) -> npt.NDArray[np.float32] | None:
        """The weight of each pixel of a tile, (height, width) float32; None for a single tile.

        nnU-Net's Gaussian: where tiles overlap, the one with the pixel in its middle counts most.
        """
        return _gaussian(self.patch_hw) if len(self.windows(size_hw)) > 1 else None

    def total_weight(self, size_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The sum of all tiles' weights, (height, width) float32, > 0."""
        return _total_weight(size_hw, self.patch_hw, self.step)


@lru_cache(maxsize=64)
def _windows(
    size_hw: tuple[int, int], patch_hw: tuple[int, int], step: float
) -> tuple[Window, ...]:
    steps: Sequence[Sequence[int]] = compute_steps_for_sliding_window(size_hw, patch_hw, step)
    return tuple(
        (slice(y, y + patch_hw[0]), slice(x, x + patch_hw[1])) for y, x in itertools.product(*steps)
    )


@lru_cache(maxsize=8)
def _gaussian(patch_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    weight: npt.NDArray[np.float32] = compute_gaussian(
        patch_hw, value_scaling_factor=10, dtype=torch.float32, device=torch.device("cpu")
    ).numpy()
    weight.setflags(write=False)
    return weight


@lru_cache(maxsize=16)
def _total_weight(
    size_hw: tuple[int, int], patch_hw: tuple[int, int], step: float
) -> npt.NDArray[np.float32]:
    total = np.zeros(size_hw, np.float32)
    for window in _windows(size_hw, patch_hw, step):
        total[window] += _gaussian(patch_hw)
    total.setflags(write=False)
    return total
