"""Views: what a single network says of an image and of its mirror images, in the place of folds.

A network that was shown mirrored images should say the same of each of them. Where it does not, it
is not sure (test-time augmentation as a measure of uncertainty: Wang et al. 2019,
arXiv:1807.07356).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from training.nnunet.inference.maps import room
from training.nnunet.inference.model import Model
from training.nnunet.inference.tiling import Tiling


class Views:
    """The views that a model of one fold has of images of one size."""

    def __init__(self, model: Model, tiling: Tiling, image_bytes: int) -> None:
        """The model has one fold, and was trained on mirrored images.

        Args:
            model: The only one of its version.
            tiling: As it predicts; no view is an average of mirrored ones.
            image_bytes: Memory for an image's maps; more of them lie in a file.
        """
        self._model, self._bytes = model, image_bytes
        self._tiling = replace(tiling, mirror_axes=())
        self._is_plain = not tiling.mirror_axes

    def of(
        self, pixels: npt.NDArray[np.float32], predicted: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """What the network says of each view.

        Args:
            pixels: (image, channel, height, width), prepared.
            predicted: (image, class, height, width) logits that it gave as it predicts.

        Returns:
            (view, image, class, height, width) logits, turned back: of the images as they are, and
            mirrored along each axis.
        """
        found = room((1 + len(self._model.mirror_axes), *predicted.shape), self._bytes)
        # Where it predicts without mirroring, that was the first view.
        found[0] = predicted if self._is_plain else self._logits(pixels)
        for number, (axis, turned) in enumerate(self._turned(pixels), 1):
            logits = np.flip(self._logits(turned), axis + 2)
            order = self._tiling.class_order((axis,), logits.shape[1])
            found[number] = logits if order is None else logits[:, list(order)]
        return found

    def _turned(
        self, pixels: npt.NDArray[np.float32]
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        for axis in self._model.mirror_axes:
            yield axis, np.ascontiguousarray(np.flip(pixels, axis + 2))

    def _logits(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        of_folds = self._model.engine.start(pixels, self._model.folds, self._tiling)()
        return np.asarray(of_folds[0])
