"""Whether two images are one picture, cut, turned or stretched otherwise.

One is laid over the other by an affine transform that makes their grey values agree best (enhanced
correlation coefficient: Evangelidis and Psarakis 2008, *Parametric Image Alignment Using Enhanced
Correlation Coefficient Maximization*; OpenCV's ``findTransformECC``). Then the details are compared
alone, field by field. Large shapes are left out: of one organ in one pose they agree between
different people. And one bright disc lies over any other, but not the grain around it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from converters.images.shrink import to_square

Thumbnail = npt.NDArray[np.float32]

SIDE = 128
"""Pixels along both sides of what is compared, whatever the image's shape."""

SAME_VIEW = 0.8
"""Agreement from which two images are one picture."""

_STEPS = (32, 64, 128)
"""Sides at which the transform is found, each from the one before."""

_ITERATIONS = 30
_CLOSE_ENOUGH = 1e-4
_BLUR = 3
"""Pixels: of the filter that ``findTransformECC`` puts before each step."""

_FINE, _COARSE = 1.0, 4.0
"""Details are what lies between these Gaussian blurs, deviations in pixels."""

_FIELDS = 8
"""Along both sides: agreement is the median over them."""

_LEAST_FIELDS = 28
"""Of 64, that both images show and that have details: fewer say little."""

_LEAST_DETAIL = 0.02
"""Of the deviation of all grey values: what a field has less of is of one colour."""

_LARGEST_SCALE = 1.5
"""Of the transform in any direction, and 1 over it the smallest: what is cut by a third."""

_FLAT = 1e-6


def thumbnail(image: npt.NDArray[Any]) -> Thumbnail:
    """What is compared of an image.

    Args:
        image: (height, width) or (height, width, channels), uint8 or uint16.

    Returns:
        (``SIDE``, ``SIDE``), the mean of the channels.
    """
    return np.asarray(np.mean(to_square(image, SIDE), axis=0), np.float32)


def is_same_view(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two images are one picture.

    Args:
        one: Of an image, as ``thumbnail`` makes it.
        other: Of the other. Which of them is which does not matter.
    """
    return agreement(one, other) >= SAME_VIEW or agreement(other, one) >= SAME_VIEW


def agreement(one: Thumbnail, other: Thumbnail) -> float:
    """How well the details of two images agree, the second laid over the first.

    Args:
        one: (``SIDE``, ``SIDE``).
        other: Likewise.

    Returns:
        In [-1, 1], the median correlation over the fields that both show; -1 where nothing lays
        them over one another, or they share too little.
    """
    warp = _laid_over(one, other)
    if warp is None:
        return -1.0
    how = cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(other, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR | how)
    whole = np.ones((SIDE, SIDE), np.uint8)
    is_shared = cv2.warpAffine(whole, warp, (SIDE, SIDE), flags=cv2.INTER_NEAREST | how)
    # The blurs reach over the border of what both show.
    reach = np.ones((2 * int(_COARSE) + 1,) * 2, np.uint8)
    inside = cv2.erode(is_shared, reach, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    a, b, share = _fields(_details(one)), _fields(_details(moved)), _fields(inside).mean(axis=1)
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    strengths = [np.sqrt((values**2).mean(axis=1)) for values in (a, b)]
    counts = share == 1
    for strength, image in zip(strengths, (one, other), strict=True):
        counts &= strength > max(_LEAST_DETAIL * float(image.std()), _FLAT)
    if np.count_nonzero(counts) < _LEAST_FIELDS:
        return -1.0
    products = (a[counts] * b[counts]).mean(axis=1)
    return float(np.median(products / (strengths[0][counts] * strengths[1][counts])))


def _fields(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(fields, pixels of each) of a (``SIDE``, ``SIDE``) array."""
    side = SIDE // _FIELDS
    cut = values.reshape(_FIELDS, side, _FIELDS, side).transpose(0, 2, 1, 3)
    return cut.reshape(_FIELDS * _FIELDS, side * side)


def _laid_over(one: Thumbnail, other: Thumbnail) -> npt.NDArray[np.float32] | None:
    """(2, 3) where each pixel of the first lies in the second; None where no transform is found."""
    warp = np.eye(2, 3, dtype=np.float32)
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _CLOSE_ENOUGH)
    for side in _STEPS:
        a, b = _even(one, side), _even(other, side)
        if a is None or b is None:
            return None
        warp[:, 2] *= side / SIDE
        try:
            warp = cv2.findTransformECC(a, b, warp, cv2.MOTION_AFFINE, end, None, _BLUR)[1]
        except cv2.error:  # they don't come together
            return None
        warp[:, 2] *= SIDE / side
    if not np.isfinite(warp).all():
        return None
    scales = np.linalg.svd(warp[:, :2], compute_uv=False)
    is_bounded = scales[0] <= _LARGEST_SCALE and scales[1] >= 1 / _LARGEST_SCALE
    return warp if is_bounded else None


def _even(image: Thumbnail, side: int) -> Thumbnail | None:
    """(side, side) with mean 0 and deviation 1; None of an image of one colour."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    deviation = float(small.std())
    return None if deviation < _FLAT else np.asarray((small - small.mean()) / deviation, np.float32)


def _details(image: Thumbnail) -> Thumbnail:
    fine, coarse = (cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (_FINE, _COARSE))
    return np.asarray(fine - coarse, np.float32)
