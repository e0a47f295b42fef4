"""Whether two classes look alike: can their pixels be told apart without knowing where they lie?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GroupKFold

TOLD_APART = 0.9
"""How often a place of a class must be told from one of its double, on images not learned from."""

SIDE = 256
"""Longest side, in pixels, at which images are looked at."""

_SCALES = (1.0, 2.0, 4.0)
"""Standard deviations of the Gaussians, in pixels at ``SIDE``: surfaces and edges, no shapes."""

_MAX_POINTS = 48
_MAX_CHANNELS = 4
_N_NEAR = 8
_N_SPLITS = 5
_TREES = 40

Features: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Answers: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Points of a class or of what may be taken for it, in one image.

    Attributes:
        image: Name of the image.
        group: Its group.
        is_class: False for the double.
        features: (n, feature) float32.
        near: (n, k) int, for each point itself and those next to it.
    """

    image: str
    group: str
    is_class: bool
    features: Features
    near: npt.NDArray[np.intp]


def features_of(image: npt.NDArray[Any]) -> Features:
    """What every pixel looks like, whichever way the image is flipped or turned.

    Grey value, and per scale its mean, the size of the gradient and both curvatures, of every
    channel (the first 4), standardised over the image.

    Args:
        image: (height, width) or (height, width, channel), uint8 or uint16.

    Returns:
        (height, width, feature) float32, longest side at most ``SIDE``.
    """
    pixels = image[:, :, None] if image.ndim == 2 else image[:, :, :_MAX_CHANNELS]
    layers: list[npt.NDArray[np.float32]] = []
    for channel in range(pixels.shape[2]):
        plane = shrunk(np.ascontiguousarray(pixels[:, :, channel])).astype(np.float32)
        plane = (plane - plane.mean()) / max(float(plane.std()), 1e-6)
        layers.append(plane)
        for sigma in _SCALES:
            smooth = cv2.GaussianBlur(plane, (0, 0), sigma)
            dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
            dxx, dyy, dxy = (
                cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((2, 0), (0, 2), (1, 1))
            )
            root = np.sqrt((dxx - dyy) ** 2 + 4 * dxy**2)
            layers += [smooth, np.hypot(dx, dy), dxx + dyy + root, dxx + dyy - root]
    return np.stack(layers, axis=2)


def shrunk(plane: npt.NDArray[Any], *, nearest: bool = False, side: int = SIDE) -> npt.NDArray[Any]:
    """A map with its longest side at most ``side`` pixels; labels by the nearest pixel."""
    scale = side / max(plane.shape)
    if scale >= 1:
        return plane
    size = max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale))
    way = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA
    return np.asarray(cv2.resize(plane, size, interpolation=way))


def points_in(
    features: Features, mask: Mask, rng: np.random.Generator
) -> tuple[Features, npt.NDArray[np.intp]] | None:
    """Some points of a mask as of ``Sight``; None when it is empty.

    Its border is left out where that leaves any.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2)
    rows, columns = np.nonzero(inner if inner.any() else mask)
    if not len(rows):
        return None
    chosen = rng.choice(len(rows), min(len(rows), _MAX_POINTS), replace=False)
    rows, columns = rows[chosen], columns[chosen]
    distances = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    return features[rows, columns], np.argsort(distances, axis=1, kind="stable")[:, :_N_NEAR]


def told_apart(sights: Sequence[Sight]) -> float:
    """How often a class is told from its double by looks, in [0, 1]; 0.5 is guessing.

    A forest learns single pixels of some images and judges those of the others (groups stay
    together). Its answer for a place is the mean over the points there. Every place of the class is
    compared with every one of its double: in the same image where it shows both, else over all
    images. Places, not whole masks: what lies opposite of a class may be its double in part. Too
    little to learn from counts as not told apart.
    """
    groups = sorted({sight.group for sight in sights})
    n_splits = min(_N_SPLITS, len(groups))
    if n_splits < 2:
        return 0.5
    answers: dict[int, Answers] = {}
    of_group = np.array([groups.index(sight.group) for sight in sights])
    truth = np.array([sight.is_class for sight in sights])
    for learn, judge in GroupKFold(n_splits).split(of_group, groups=of_group):
        if len(set(truth[learn])) < 2:
            return 0.5
        forest = ExtraTreesClassifier(
            _TREES, min_samples_leaf=4, class_weight="balanced", random_state=0
        )
        forest.fit(*_stacked([sights[i] for i in learn]))
        for i in judge:
            of_points = forest.predict_proba(sights[i].features)[:, 1]
            answers[int(i)] = of_points[sights[i].near].mean(axis=1)
    wins = list(_wins(sights, answers))
    return float(np.mean(wins)) if wins else 0.5


def _stacked(sights: Iterable[Sight]) -> tuple[Features, npt.NDArray[np.bool_]]:
    rows = list(sights)
    return (
        np.concatenate([sight.features for sight in rows]),
        np.concatenate([np.full(len(sight.features), sight.is_class) for sight in rows]),
    )


def _wins(sights: Sequence[Sight], answers: dict[int, Answers]) -> Iterator[float]:
    """How often a class got a higher answer than its double, of each two that are compared."""
    sides = [
        [(sight.image, answers[i]) for i, sight in enumerate(sights) if sight.is_class is side]
        for side in (True, False)
    ]
    images = {image for image, _ in sides[0]} & {image for image, _ in sides[1]}
    for image, high in sides[0]:
        for other, low in sides[1]:
            if image == other or not images:
                above, level = high[:, None] > low, high[:, None] == low
                yield float(above.mean() + 0.5 * level.mean())
