"""The simulated annotator's hand: outlines of a truth as a person would click them.

What they make of a prediction is what the simulated annotators of ``nnloop replay`` make of it, too
(``active_learning.simulated``).

The wall is drawn as the outline of the whole vessel and the lumen over it, since a later region
paints over an earlier one: two outlines instead of a ring with a hole, which Label Studio's editor
has no tool for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import contourpy
import numpy as np
import numpy.typing as npt

from active_learning.effort import Effort
from active_learning.simulated.corrector import (
    TIMES,
    Corrector,
    Entry,
    effort_of_drawing,
    new_id,
)
from active_learning.simulated.outlines import Outline, iou_of, outlines_of, shape_of
from backend.demo.vessel import LUMEN, WALL
from converters.label_studio.corrections import changes_between
from converters.label_studio.keyhole import signed_area
from domain.annotation import Region
from domain.geometry import LabelMap, Polygon, Ring
from domain.labels import LabelConfig

JITTER_PX = 1.0
"""Standard deviation of a clicked point from the true boundary along x and along y, in pixels:
about 1.3 px of distance on average. On a short outline less, since a person zooms in."""

POINTS = (14, 30)
"""Fewest and most clicks on one outline; in between about one per 13 px."""

VISIBLE_DICE = 0.88
"""A predicted wall with less overlap in what is seen of it is mended, however near its outline is:
about the least that drawing it reaches."""

PACE_SD = 0.25
"""How a person's pace differs from image to image: standard deviation of its logarithm."""

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
            id=new_id(rng),
            class_index=class_index,
            polygons=(Polygon(_clicked(outline, truth.shape, rng, jitter_px)),),
        )
        for outline in outlines
    )


def correct(
    prediction: Sequence[Entry] | None,
    truth: LabelMap,
    config: LabelConfig,
    rng: np.random.Generator,
) -> tuple[list[Entry], float]:
    """What a person submits who starts from a pre-annotation: keeps, mends, deletes, draws.

    Args:
        prediction: Entries as pushed; None when the task came without a prediction.
        truth: (height, width) uint8, 0 background, 1 lumen, 2 wall.
        config: The labelling configuration, with polygons.
        rng: decides how the hand shakes.

    Returns:
        Entries in the order of painting, wall, then lumen: what was taken over keeps its id. And
        the seconds that takes, by the times that replays assume, now more and now less.
    """
    size_hw = (int(truth.shape[0]), int(truth.shape[1]))
    # Where the person would click, with a steady hand.
    objects = outlines_of(annotate(truth, rng, jitter_px=0.0))
    corrector = Corrector(config, partial(_drawn, truth), visible_dice=VISIBLE_DICE)
    pushed = corrector.read(prediction or (), size_hw)
    submitted = corrector.submitted(pushed, objects, size_hw, rng, uncovers=True)
    effort = Effort.of(changes_between([one.entry for one in pushed], submitted))
    # All of it goes with one key.
    anew = effort_of_drawing(objects) + Effort(n_removed=1)
    if pushed and TIMES.seconds(effort) > TIMES.seconds(anew):
        submitted, effort = corrector.submitted((), objects, size_hw, rng), anew
    return submitted, TIMES.seconds(effort) * float(rng.lognormal(sigma=PACE_SD))


def _drawn(truth: LabelMap, one: Outline, rng: np.random.Generator) -> Polygon:
    """An object drawn from nothing: of this class's parts the one that is meant."""
    parts = [region.polygons[0] for region in draw(truth, one.class_index, rng)]
    return max(parts, key=lambda part: iou_of(shape_of(part), one.shape))


def _outlines(mask: npt.NDArray[np.bool_]) -> list[Ring]:
    """Outer outlines of the parts of a mask, in pixels, along the image border where cut."""
    padded = np.pad(mask, 1).astype(np.float64)
    height, width = mask.shape
    lines = contourpy.contour_generator(
        x=np.arange(-0.5, width + 1.0), y=np.arange(-0.5, height + 1.0), z=padded
    ).lines(0.5)
    rings = [np.asarray(line[:-1], dtype=np.float64) for line in lines]
    # Positive for outer rings as contourpy winds them.
    return [ring for ring in rings if signed_area(ring) >= _SMALLEST_PX]


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
