"""Flips with classes exchanged, and smaller turns, among nnU-Net's own augmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from training.symmetries.symmetries import Swap, class_order


class SwappedFlips(MirrorTransform):  # type: ignore[misc]  # batchgeneratorsv2 has no types
    """nnU-Net's mirroring; where an axis is flipped, its classes change places."""

    def __init__(self, swaps: Sequence[Swap]) -> None:
        super().__init__(tuple(sorted({axis for axis, *_ in swaps})))
        self.swaps = tuple(swaps)

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        flipped = super()._apply_to_segmentation(segmentation, **params)
        n_classes = 1 + max(int(flipped.max()), *(k for _, *pair in self.swaps for k in pair))
        order = class_order(self.swaps, params["axes"], n_classes)
        if order is None:
            return flipped
        # -1, where nnU-Net's images are empty, is the last of the table and stays.
        table = torch.tensor([*order, -1], dtype=flipped.dtype)
        return table[flipped.long()]


def with_swaps(transforms: Any, swaps: Sequence[Swap]) -> Any:
    """A trainer's transforms after flips with classes exchanged; as they are without any."""
    return ComposeTransforms([SwappedFlips(swaps), transforms]) if swaps else transforms


def at_most(rotation: Any, max_turn: float) -> Any:
    """A trainer's range of rotation angles, in radians, within ``max_turn`` degrees both ways."""
    limit = math.radians(max_turn)
    if isinstance(rotation, tuple) and all(isinstance(angle, int | float) for angle in rotation):
        return max(rotation[0], -limit), min(rotation[1], limit)
    return rotation if limit >= math.pi else (-limit, limit)
