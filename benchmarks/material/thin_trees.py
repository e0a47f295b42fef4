"""Generated label maps of long thin trees, as the vessels of a retina."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap

N_TREES = 6
SEED = 3

_STEP_PX = 2.0
_FINER = 4
"""Drawn so many times larger, so that widths are fractions of pixels."""

_THINNEST_PX = 1.5


def thin_trees(n: int = N_TREES, seed: int = SEED) -> Iterator[LabelMap]:
    """(584, 565) uint8 label maps with one connected tree of class 1 each, 9 to 1.5 px wide."""
    for number in range(n):
        yield thin_tree(seed + number, (584, 565))


def thin_tree(seed: int, size_hw: tuple[int, int], *, depth: int = 4) -> LabelMap:
    """One tree that branches up to ``depth`` times: (height, width) uint8, class 1."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    large = np.zeros((height * _FINER, width * _FINER), dtype=np.uint8)
    root = np.array([width * rng.uniform(0.15, 0.35), height * rng.uniform(0.4, 0.6)])
    for number in range(5):
        angle = np.pi * (2 * number / 5 - 1) + rng.normal(0, 0.2)
        _grow(large, rng, root, angle, 9 * rng.uniform(0.7, 1.1), depth)
    small = cv2.resize(large.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    _, parts, stats, _ = cv2.connectedComponentsWithStats((small > 0.5).astype(np.uint8), None, 4)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(parts == largest).astype(np.uint8)


def _grow(
    image: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    start: npt.NDArray[np.float64],
    angle: float,
    width_px: float,
    depth: int,
) -> None:
    turn = rng.normal(0, 0.004)
    for _ in range(int(rng.uniform(30, 70))):
        turn = 0.95 * turn + rng.normal(0, 0.004)
        angle += turn
        end = start + _STEP_PX * np.array([np.cos(angle), np.sin(angle)])
        first, last = ((point * _FINER).astype(int).tolist() for point in (start, end))
        cv2.line(image, first, last, 1, max(1, int(width_px * _FINER)))
        start, width_px = end, max(width_px * 0.996, _THINNEST_PX)
        if depth > 0 and rng.random() < 0.02:
            side = angle + rng.choice([-1, 1]) * rng.uniform(0.5, 1.2)
            _grow(image, rng, start, side, max(width_px * 0.45, _THINNEST_PX), depth - 2)
    if depth > 0:
        for side in (-1, 1):
            branch = angle + side * rng.uniform(0.2, 0.6)
            thinner = max(width_px * rng.uniform(0.6, 0.85), _THINNEST_PX)
            _grow(image, rng, start, branch, thinner, depth - 1)


def tree_image(label_map: LabelMap, seed: int) -> npt.NDArray[np.uint8]:
    """A picture of a tree as a retina shows its vessels, (height, width) uint8.

    The tree is darker than its ground, the less the thinner it is; over both lie clouds and noise,
    and beside it faint streaks that are no vessels.
    """
    rng = np.random.default_rng(seed)
    mask = label_map.astype(np.float32)
    shape = mask.shape
    thick = cv2.GaussianBlur(mask, (0, 0), 2.5)
    ground = 130 + 45 * _clouds(rng, shape, 60) + 14 * _clouds(rng, shape, 8)
    streaks = _clouds(rng, shape, 3)
    image = ground - (18 + 45 * thick) * cv2.GaussianBlur(mask, (0, 0), 0.8)
    image -= 10 * np.maximum(streaks - 1.0, 0) + rng.normal(0, 7, shape)
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def _clouds(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float
) -> npt.NDArray[np.float32]:
    """Smooth noise of mean 0 and deviation 1."""
    clouds = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    return np.asarray((clouds - clouds.mean()) / clouds.std(), dtype=np.float32)
