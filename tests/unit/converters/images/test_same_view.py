"""One picture cut, turned or shown otherwise; and pictures that only resemble each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from converters.images.same_view import SAME_VIEW, SIDE, agreement, is_same_view, thumbnail

Image = npt.NDArray[Any]


def organ(seed: int, *, height: int = 300, width: int = 400) -> Image:
    """One large shape in one pose, the same in all, under speckle of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / 90) ** 2 + ((x - width / 2) / 130) ** 2 < 1
    grain = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 3.0)
    image = 60 + 90 * inside + 25 * grain / grain.std() + rng.normal(0, 4, (height, width))
    return np.asarray(image.clip(0, 255), np.uint8)


def cut(image: Image, top: float, left: float, share: float) -> Image:
    height, width = image.shape[:2]
    y, x = int(top * height), int(left * width)
    return image[y : y + int(share * height), x : x + int(share * width)]


def turned(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT))


COPIES: dict[str, Callable[[Image], Image]] = {
    "itself": lambda image: image,
    "cut evenly": lambda image: cut(image, 0.1, 0.1, 0.8),
    "cut at a corner": lambda image: cut(image, 0.0, 0.12, 0.88),
    "turned by 3 degrees": lambda image: turned(image, 3.0),
    "turned by 10 degrees": lambda image: turned(image, -10.0),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5),
    "stretched": lambda image: cv2.resize(image, (300, 300)),
    "darker": lambda image: (0.6 * image).astype(np.uint8),
    "other gamma": lambda image: (255 * (image / 255.0) ** 0.7).astype(np.uint8),
    "moved": lambda image: np.roll(image, (8, -12), axis=(0, 1)),
    "16 bits": lambda image: image.astype(np.uint16) * 200,
    "in colour": lambda image: np.repeat(image[:, :, None], 3, axis=2),
    "with a caption": lambda image: cv2.putText(image.copy(), "R 12:05", (5, 20), 0, 0.6, 255, 2),
}  # fmt: skip


@pytest.mark.parametrize("change", COPIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_copy_is_known_from_both_sides(change: str, seed: int) -> None:
    image = organ(seed)
    one, other = thumbnail(image), thumbnail(COPIES[change](image))
    assert is_same_view(one, other) and is_same_view(other, one)


def test_one_organ_in_one_pose_is_not_one_picture() -> None:
    images = [thumbnail(organ(seed)) for seed in range(6)]
    for k, one in enumerate(images):
        for other in images[:k]:
            assert not is_same_view(one, other)
            assert max(agreement(one, other), agreement(other, one)) < SAME_VIEW - 0.2


def discs(seed: int, noise: float) -> Image:
    rng = np.random.default_rng(seed)
    image = np.full((96, 128), 40, np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        centre = (int(rng.integers(20, 108)), int(rng.integers(20, 76)))
        cv2.circle(image, centre, int(rng.integers(8, 22)), int(rng.integers(120, 220)), -1)
    return np.asarray((image + rng.normal(0, noise, image.shape)).clip(0, 255), np.uint8)


@pytest.mark.parametrize("noise", [0.0, 1.0, 12.0])
def test_a_bright_disc_lies_over_any_other_and_says_nothing(noise: float) -> None:
    images = [thumbnail(discs(seed, noise)) for seed in range(10)]
    for k, one in enumerate(images):
        for other in images[:k]:
            assert not is_same_view(one, other)


def test_mirrored_it_is_another_picture() -> None:
    image = organ(3)
    assert not is_same_view(thumbnail(image), thumbnail(np.ascontiguousarray(image[:, ::-1])))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (2, 2, 3), (50, 60), (20, 30, 7)])
def test_any_shape_is_compared_without_harm(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for image in (np.full(shape, 9, np.uint8), rng.integers(0, 256, shape).astype(np.uint8)):
        small = thumbnail(image)
        assert small.shape == (SIDE, SIDE) and small.dtype == np.float32
        assert -1.0 <= agreement(small, thumbnail(organ(0))) < SAME_VIEW
    flat = thumbnail(np.full(shape, 9, np.uint8))
    assert agreement(flat, flat) == -1.0
