"""The simulated annotator's hand: outlines of a truth as a person would click them.

The wall is drawn as the outline of the whole vessel and the lumen over it, since a later region
paints over an earlier one: two outlines instead of a ring with a hole, which Label Studio's editor
has no tool for.
"""

from __future__ import annotations

import string

import contourpy
import numpy as np
import numpy.typing as npt

from backend.demo.vessel import LUMEN, WALL
from converters.painting.rasterize import polygons_to_label_map
from domain.annotation import Region
from domain.geometry import LabelMap, Polygon, Ring
from domain.overlap import overlap

JITTER_PX = 1.0
"""Standard deviation of a clicked point from the true boundary along x and along y, in pixels:
about 1.3 px of distance on average. On a short outline less, since a person zooms in."""

POINTS = (14, 30)
"""Fewest and most clicks on one outline; in between about one per 13 px."""

KEEP_DICE = 0.95
"""A predicted class at least this close to the truth is left as it is."""

_SPACING_PX = 13.0
_ZOOMED_BELOW_PX = 320.0
_CORRELATION_PX = 25.0
_SMALLEST_PX = 30
"""A visible part smaller than this many pixels is not outlined."""

_PAINT_ORDER = (WALL, LUMEN)
_COVERED = {WALL: (WALL, LUMEN), LUMEN: (LUMEN,)}
"""What the outline of a class goes around."""


def annotate(
    truth: LabelMap, rng: np.random.Generator, jitter_px: float = JITTER_PX
) -> tuple[Region, ...]:
    """Outlines everything in an image, in the order of drawing: wall, then lumen.

    Args:
        truth: (height, width) uint8, 0 background, 1 lumen, 2 wall.
        rng: decides how the hand shakes.
        jitter_px: see JITTER_PX.

    Returns:
        Regions in pixels; none when the truth is empty (to be submitted empty).
    """
    return tuple(region for index in _PAINT_ORDER for region in draw(truth, index, rng, jitter_px))


def draw(
    truth: LabelMap, class_index: int, rng: np.random.Generator, jitter_px: float = JITTER_PX
) -> tuple[Region, ...]:
    """Outlines one class: one region per connected part.

    Args:
        truth: (height, width) uint8, 0 background, 1 lumen, 2 wall.
        class_index: LUMEN (1) or WALL (2).
        rng: decides how the hand shakes.
        jitter_px: see JITTER_PX.

    Returns:
        Regions with one polygon of 14 to 30 points (a few more where the image's border cuts the
        vessel), within the image.

    Raises:
        KeyError: no such class.
    """
    covered = _COVERED[class_index]
    if not (truth == class_index).any():
        return ()
    outlines = _outlines(np.isin(truth, covered))
    return tuple(
        Region(
            id=_region_id(rng),
            class_index=class_index,
            polygons=(Polygon(_clicked(outline, truth.shape, rng, jitter_px)),),
        )
        for outline in outlines
    )


def correct(
    prediction: tuple[Region, ...] | None, truth: LabelMap, rng: np.random.Generator
) -> tuple[Region, ...]:
    """What a person submits who starts from a pre-annotation.

    A class that is good enough (KEEP_DICE) keeps its predicted regions, any other is deleted and
    drawn anew; what is not in the image is deleted.

    Args:
        prediction: regions in pixels as predicted; None when the task came without a prediction.
        truth: (height, width) uint8, 0 background, 1 lumen, 2 wall.
        rng: decides how the hand shakes.

    Returns:
        Regions in the order of painting: wall, then lumen.
    """
    predicted = prediction or ()
    shapes = [(region.class_index, p) for region in predicted for p in region.polygons]
    height, width = truth.shape
    seen = polygons_to_label_map(shapes, (height, width))
    submitted: list[Region] = []
    for index in _PAINT_ORDER:
        dice = overlap(seen == index, truth == index).dice
        # None: not there and not predicted, so there is nothing to keep and nothing to draw.
        if dice is not None and dice >= KEEP_DICE:
            submitted += [region for region in predicted if region.class_index == index]
        else:
            submitted += draw(truth, index, rng)
    return tuple(submitted)


def _outlines(mask: npt.NDArray[np.bool_]) -> list[Ring]:
    """Outer outlines of the parts of a mask, in pixels, along the image border where cut."""
    padded = np.pad(mask, 1).astype(np.float64)
    height, width = mask.shape
    lines = contourpy.contour_generator(
        x=np.arange(-0.5, width + 1.0), y=np.arange(-0.5, height + 1.0), z=padded
    ).lines(0.5)
    rings = [np.asarray(line[:-1], dtype=np.float64) for line in lines]
    return [ring for ring in rings if _area(ring) >= _SMALLEST_PX]


def _area(ring: Ring) -> float:
    """Signed area in square pixels; positive for outer rings as contourpy winds them."""
    x, y = ring.T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _clicked(
    outline: Ring, size_hw: tuple[int, ...], rng: np.random.Generator, jitter_px: float
) -> Ring:
    """Sparse, uneven, slightly wrong points along an outline."""
    steps = np.hypot(*(np.roll(outline, -1, axis=0) - outline).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    length = float(along[-1])
    n_points = int(np.clip(round(length / _SPACING_PX), *POINTS))
    gaps = rng.gamma(10.0, size=n_points)
    places = (np.cumsum(gaps) / gaps.sum() + rng.random()) % 1.0 * length
    on_border = _on_border(outline, size_hw)
    # Where the image's border cuts the vessel a person clicks the corners.
    corners = along[:-1][on_border.any(axis=1) & _is_corner(on_border)]
    places = np.unique(np.concatenate([places, corners]))
    closed = np.concatenate([outline, outline[:1]])
    exact = np.stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    zoomed = float(np.clip(length / _ZOOMED_BELOW_PX, 0.5, 1.0))
    points = exact + jitter_px * zoomed * _shake(places, length, rng)
    height, width = size_hw
    limits = np.array([width, height], dtype=np.float64)
    points = np.where((exact <= 0.0) | (exact >= limits), exact, points)
    return np.clip(points, 0.0, limits)


def _on_border(outline: Ring, size_hw: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """(n, 2) bool: whether a point's x or y lies on the image's border."""
    height, width = size_hw
    return np.asarray((outline <= 0.0) | (outline >= np.array([width, height])))


def _is_corner(on_border: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n,) bool: points on the border with a neighbour that is on it in another way."""
    before, after = np.roll(on_border, 1, axis=0), np.roll(on_border, -1, axis=0)
    return np.asarray(((on_border != before) | (on_border != after)).any(axis=1))


def _shake(
    places: npt.NDArray[np.float64], length: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(n, 2) displacements of standard deviation 1, alike for neighbours along the outline."""
    apart = np.abs(places[:, None] - places[None, :])
    apart = np.minimum(apart, length - apart)
    weights = np.exp(-((apart / _CORRELATION_PX) ** 2))
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return np.asarray(weights @ rng.standard_normal((len(places), 2)))


def _region_id(rng: np.random.Generator) -> str:
    """Ten characters, as Label Studio's editor makes them."""
    return "".join(rng.choice(list(string.ascii_letters + string.digits), size=10))
