"""Engine: what runs a version's networks on prepared images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from training.nnunet.inference.tiling import Tiling

FoldLogits: TypeAlias = npt.NDArray[np.float32]
"""(fold, image, class, height, width) float32 logits at the size of the padded images."""

Pending: TypeAlias = Callable[[], FoldLogits]
"""Work under way: the call waits for the logits."""

SPLIT_BYTES = 256 * 2**20
"""Mirrorings run side by side while their sums take no more than this."""


class Engine(Protocol):
    """Runs the networks of a version. Calls come from one thread."""

    @property
    def name(self) -> str:
        """``torch``, ``openvino``, or ``openvino in bfloat16``."""
        ...

    @property
    def batch_images(self) -> int:
        """Images of one size that are best started together, at least 1."""
        ...

    @property
    def n_bytes(self) -> int:
        """Memory of the networks' weights, in bytes."""
        ...

    def start(
        self, images: npt.NDArray[np.float32], folds: Sequence[int], tiling: Tiling
    ) -> Pending:
        """Starts the networks of some folds on images of one size.

        Args:
            images: (image, channel, height, width) float32, prepared and padded to the patch.
            folds: Fold numbers, the order of the result's first axis.
            tiling: Tiles and mirrorings.
        """
        ...
