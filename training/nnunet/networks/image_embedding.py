"""ImageEmbedding: what an image looks like, as a vector, to a network that has seen ImageNet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from converters.images.shrink import to_square
from training.nnunet.networks.lite_encoder import STAGE_CHANNELS, LiteEncoder
from training.nnunet.networks.pretrained_weights import read_weights

_STAGE = 3
"""The features at 1/16 of the sides: later ones know objects of photographs, and no places."""

_GRID = 2
"""Fields along both sides whose features are averaged: what lies where is a part of the looks."""

DIMENSIONS = STAGE_CHANNELS[_STAGE] * _GRID**2
"""Of a vector: 448."""

SIDE = 128
"""Pixels along both sides of what the network sees, whatever the image's shape. At 224 it looks
closer at what JPEG does to an image: of files of quality 90 it knew 8 % fewer."""

_LEAST_DEVIATION = 1e-3
"""Grey values: an image with less has one colour."""


class ImageEmbedding:
    """The encoder of the preset ``pretrained`` without what comes after it.

    Images that look alike to it lie close together: the label map of the nearest other image fits
    better than one at random (Dice .24, .17 and .41 against .08, .11 and .15 on three public sets,
    ``python -m benchmarks.embedding``). Brightness and contrast are taken out before.

    One image at a time: a batch is no quicker on a CPU, and so a vector depends on no other image,
    to the last bit.
    """

    def __init__(self) -> None:
        """Reads the ImageNet weights.

        Raises:
            SettingsError: Their package is not installed.
            TrainingError: They can't be read.
        """
        self._encoder = LiteEncoder(3)
        self._encoder.load(read_weights())
        self._encoder.eval()

    def __call__(self, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The vector of an image.

        Args:
            image: (height, width) grey, (height, width, 3) RGB, or (height, width, k) with k grey
                or k / 3 RGB images as channels, of which the mean is looked at; uint8 or uint16, at
                least 1 x 1, turned as it is shown.

        Returns:
            (``DIMENSIONS``,) of length 1.

        Raises:
            ValueError: It is no such image.
        """
        pixels = torch.from_numpy(_seen(image))[None]
        with torch.inference_mode(), _one_thread():
            features = functional.adaptive_avg_pool2d(self._encoder(pixels)[_STAGE], _GRID)
        vector = features.numpy().ravel().astype(np.float64)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


@cache
def shared_embedding() -> ImageEmbedding:
    """The process's own: its weights are read once, when it is first asked for.

    Raises:
        SettingsError: As ``ImageEmbedding``; asked again, it is tried again.
        TrainingError: Likewise.
    """
    return ImageEmbedding()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Several wait for each other, which takes ten times as long beside a training."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seen(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(3, ``SIDE``, ``SIDE``) with mean 0 and deviation 1 over all, so that hues stay."""
    if image.ndim not in (2, 3) or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            "An image must be uint8 or uint16 (height, width) or (height, width, channels), got "
            f"{image.dtype} of the shape {image.shape}."
        )
    small = to_square(image, SIDE)
    n = len(small)
    rgb = small.reshape(-1, 3, SIDE, SIDE).mean(axis=0) if n % 3 == 0 else small.mean(axis=0)
    seen = np.broadcast_to(rgb, (3, SIDE, SIDE)) - rgb.mean()
    return np.asarray(seen / max(float(rgb.std()), _LEAST_DEVIATION), np.float32)
