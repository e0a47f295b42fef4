"""Generated pictures of a trunk, seen from the front: two lungs that look alike, and a heart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from converters.images.image_pixels import write_png

CLASS_NAMES = ("right lung", "left lung", "heart")
"""As radiographs are shown: the patient's right is on the image's left."""

SIDE_PX = 192


def trunks(n: int, seed: int) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Pairs of image and label map, each (192, 192) uint8; classes as ``CLASS_NAMES`` from 1 on.

    Both lungs are drawn from one distribution of shapes, sizes and grey values: nothing but the
    side tells which is which. The heart lies a little to the image's right in most images.
    """
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield _trunk(rng)


def write_folder(folder: Path, n: int, seed: int) -> None:
    """Writes ``images/`` and ``masks/`` as ``benchmarks.material.shared_data`` reads them."""
    for number, (image, label_map) in enumerate(trunks(n, seed)):
        for name, pixels in (("images", image), ("masks", label_map)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_png(folder / name / f"trunk_{number:04d}.png", pixels)


def _trunk(rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    middle = SIDE_PX / 2 + rng.normal(0, 5, 2)
    scale = rng.uniform(0.85, 1.1)
    tilt = rng.normal(0, 4)
    image = np.full((SIDE_PX, SIDE_PX), 20.0, np.float32)
    labels = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    image[_blob(rng, middle, (84 * scale, 74 * scale), tilt, 0.03)] = rng.uniform(120, 160)
    grey = rng.uniform(55, 85)
    for side, k in ((-1, 1), (1, 2)):
        centre = middle + _turned(side * 34 * scale, rng.normal(-4, 4), tilt)
        radii = (rng.uniform(42, 54) * scale, rng.uniform(19, 25) * scale)
        lung = _blob(rng, centre, radii, tilt + side * rng.normal(6, 4), 0.1)
        image[lung], labels[lung] = grey + rng.normal(0, 4), k
    centre = middle + _turned(rng.normal(4, 5) * scale, 26 * scale, tilt)
    heart = _blob(rng, centre, (22 * scale, 26 * scale), tilt, 0.08)
    image[heart], labels[heart] = rng.uniform(150, 190), 3
    clouds = cv2.GaussianBlur(rng.standard_normal(image.shape).astype(np.float32), (0, 0), 6) * 90
    image += clouds + rng.normal(0, 9, image.shape).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _turned(right: float, down: float, degrees: float) -> npt.NDArray[np.float64]:
    """A step (x, y), turned."""
    angle = math.radians(degrees)
    return np.array(
        [
            right * math.cos(angle) - down * math.sin(angle),
            right * math.sin(angle) + down * math.cos(angle),
        ]
    )


def _blob(
    rng: np.random.Generator,
    centre_xy: npt.NDArray[np.float64],
    radii_yx: tuple[float, float],
    degrees: float,
    roughness: float,
) -> npt.NDArray[np.bool_]:
    """An ellipse with a wavy border, (192, 192) bool."""
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    waves = sum(
        rng.normal(0, roughness / n) * np.cos(n * angles + rng.uniform(0, 2 * np.pi))
        for n in range(2, 6)
    )
    x = radii_yx[1] * (1 + waves) * np.cos(angles)
    y = radii_yx[0] * (1 + waves) * np.sin(angles)
    turn = math.radians(degrees)
    points = np.stack(
        [x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], axis=1
    )
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    cv2.fillPoly(mask, [np.rint(points + centre_xy).astype(np.int32)], 1)
    return mask.astype(bool)
