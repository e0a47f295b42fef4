"""Scribbles: what a person in a hurry draws of a label map, lines in objects and around them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.morphology import skeletonize

LEAST, MOST = 0.05, 0.10
"""Share of an image's pixels that get a label."""

_BESIDE_PX = 6
"""How far from objects their surroundings are marked."""

Mask = npt.NDArray[np.bool_]
LabelMap = npt.NDArray[np.uint8]


def scribbled(truth: LabelMap, n_classes: int, rng: np.random.Generator) -> LabelMap:
    """A label map of which only lines are known; the rest is n_classes + 1.

    The middle line of each object, some of the line around it, and lines across the background, as
    many as it takes to label 5 to 10 % of the pixels. Nothing is labelled wrong.

    Args:
        truth: (height, width), 0 = background.
        n_classes: Without background.
        rng: Where lines begin and end.
    """
    width = max(2, round(max(truth.shape) / 160))
    known = np.zeros(truth.shape, np.bool_)
    for label in range(1, n_classes + 1):
        known |= _thick(_skeleton(truth == label), width) & (truth == label)
    # Of many objects not all: a person stops sometime.
    if known.mean() > MOST * 0.5:
        known &= _some(known, MOST * 0.5 / known.mean(), rng)
    background = truth == 0
    around = _thick(~background, 2 * _BESIDE_PX) & ~_thick(~background, 2 * _BESIDE_PX - 2)
    marks = _some(_thick(around, width) & background, 0.5, rng)
    known |= _within(marks, MOST * 0.8 - known.mean(), rng)
    while known.mean() < LEAST:
        known |= _line(truth.shape, 2 * width, rng) & background
    return np.where(known, truth, np.uint8(n_classes + 1)).astype(np.uint8)


def _skeleton(mask: Mask) -> Mask:
    skeleton: Any = skeletonize
    return np.asarray(skeleton(mask), np.bool_)


def _thick(mask: Mask, width: int) -> Mask:
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), brush), np.bool_)


def _some(mask: Mask, share: float, rng: np.random.Generator) -> Mask:
    """Some of its components and of their parts: those in random squares of the image."""
    side = max(8, max(mask.shape) // 10)
    chosen = rng.random((mask.shape[0] // side + 1, mask.shape[1] // side + 1)) < share
    large = np.kron(chosen, np.ones((side, side), np.bool_))[: mask.shape[0], : mask.shape[1]]
    return mask & large


def _within(mask: Mask, share: float, rng: np.random.Generator) -> Mask:
    """Some of it, at most this share of all pixels."""
    found = float(mask.mean())
    return mask if found <= share else _some(mask, max(share, 0.0) / found, rng)


def _line(shape: tuple[int, ...], width: int, rng: np.random.Generator) -> Mask:
    points = rng.uniform(0, 1, (3, 2)) * (shape[1], shape[0])
    steps = np.linspace(0, 1, 40)[:, None]
    curve = (
        (1 - steps) ** 2 * points[0] + 2 * steps * (1 - steps) * points[1] + steps**2 * points[2]
    )
    drawn = np.zeros(shape, np.uint8)
    cv2.polylines(drawn, [np.round(curve).astype(np.int32)], False, 1, width)
    return drawn.astype(np.bool_)
