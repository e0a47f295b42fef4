"""Where a label map and a prediction that has not seen it disagree, and how: what may be wrong.

A label map is doubted where a network is sure of something else. How sure is taken per component,
as the mean probability inside it; the mean over an image would hide one wrong object among many
(soft minimum over pixels: Lad & Mueller 2023, arXiv:2307.05080). Which doubts stand out is decided
over all cases of a project (``active_learning.label_qa``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from domain.doubts import Doubt, DoubtKind
from domain.geometry import LabelMap
from domain.prediction import most_probable
from training.evaluation.dice import where_known

MIN_AREA_PX = 16
"""Smaller components are noise of outlines."""

MOST_PX = 2**18
"""Larger images are looked at at a smaller size: what is doubted is no matter of single pixels."""

MOST_PARTS = 200
"""Components looked at of a class, the largest."""

REACH = 0.75
"""How far an object may have been moved, in diameters of a disc of its area."""

RIM = 0.4
"""What is thinner than this part of a typical object is the rim of one, not one by itself."""

OUTLINE_PX = 1.5
"""Tolerance with which outlines are made polygons, whose corners are counted."""

_Mask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Typical:
    """A typical object of a class: its area in pixels, and its greatest distance to the outside."""

    area_px: float
    depth_px: float


@dataclass(frozen=True, slots=True)
class _Part:
    """A connected component: its mask within its box."""

    box: tuple[int, int, int, int]
    mask: _Mask

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def diameter(self) -> float:
        """Of a disc of its area."""
        return float(2.0 * np.sqrt(self.area / np.pi))

    @property
    def where(self) -> tuple[slice, slice]:
        x, y, width, height = self.box
        return slice(y, y + height), slice(x, x + width)


class _Outline(NamedTuple):
    """How an object's outline compares with the one predicted round it."""

    part: _Part
    coarseness: float


def typical_objects(label_maps: Iterable[LabelMap], n_classes: int) -> dict[int, Typical]:
    """The median object of each class.

    Args:
        label_maps: (height, width) integers each, 0 = background.
        n_classes: Without background; a class without an object is missing in what is returned.
    """
    areas: dict[int, list[float]] = {}
    depths: dict[int, list[float]] = {}
    for label_map in label_maps:
        scale = _scale(label_map.shape)
        small = _smaller(label_map, scale)
        for label in range(1, n_classes + 1):
            for part in _parts(small == label):
                inside = np.pad(part.mask.astype(np.uint8), 1)
                depth = float(cv2.distanceTransform(inside, cv2.DIST_L2, 3).max())
                areas.setdefault(label, []).append(part.area / scale**2)
                depths.setdefault(label, []).append(depth / scale)
    return {label: Typical(median(areas[label]), median(depths[label])) for label in areas}


def label_doubts(
    probabilities: _Floats, label_map: LabelMap, typical: Mapping[int, Typical] | None = None
) -> tuple[Doubt, ...]:
    """The strongest doubt of each kind.

    Args:
        probabilities: (class, height, width) softmax in [0, 1] of a network that has not seen the
            image, class 0 = background.
        label_map: (height, width) integers, the same classes; where it is higher than any, nobody
            has labelled and nothing is doubted.
        typical: Objects of the classes: what is much smaller is doubted less, what is much thinner
            is the rim of another object. Without it all sizes count the same.

    Returns:
        At most one of each kind, of those with a strength above 0.

    Raises:
        ValueError: The two are not of one size.
    """
    if probabilities.shape[1:] != label_map.shape:
        raise ValueError(
            f"Probabilities {probabilities.shape} and label map {label_map.shape} differ in size."
        )
    scale = _scale(label_map.shape)
    if scale < 1.0:
        size_wh = _smaller(label_map, scale).shape[::-1]
        maps = [cv2.resize(one, size_wh, interpolation=cv2.INTER_AREA) for one in probabilities]
        probabilities = np.stack(maps)
        label_map = _smaller(label_map, scale)
    predicted = where_known(most_probable(probabilities), label_map, len(probabilities) - 1)
    sizes = {
        label: Typical(one.area_px * scale**2, one.depth_px * scale)
        for label, one in (typical or {}).items()
    }
    found = [
        *_of_labelled(probabilities, predicted, label_map),
        *_of_predicted(probabilities, predicted, label_map, sizes),
    ]
    strongest: dict[DoubtKind, Doubt] = {}
    for one in found:
        if one.strength > 0 and (
            one.kind not in strongest or one.strength > strongest[one.kind].strength
        ):
            strongest[one.kind] = one
    return tuple(_enlarged(one, scale) for one in strongest.values())


def _of_labelled(
    probabilities: _Floats, predicted: LabelMap, label_map: LabelMap
) -> Iterator[Doubt]:
    """Doubts about what is drawn: is it in its place, is its outline fine enough."""
    for label in range(1, len(probabilities)):
        outlines = []
        for part in _parts(label_map == label):
            inside = probabilities[(slice(None), *part.where)][:, part.mask].mean(axis=1)
            inside[0] = 0.0
            if int(inside.argmax()) not in (0, label):
                continue  # another class, say the doubts about what is predicted
            # What lies on other objects is theirs, and no place for this one.
            window, at = _round(part, label_map.shape)
            drawn = np.zeros(label_map[window].shape, dtype=bool)
            drawn[at[0] : at[0] + part.mask.shape[0], at[1] : at[1] + part.mask.shape[1]] = (
                part.mask
            )
            free = (label_map[window] == 0) | drawn
            gain = _gain_elsewhere(np.where(free, probabilities[label][window], 0.0), part, at)
            yield Doubt(DoubtKind.SHIFTED, gain, label, 0, part.box)
            coarseness = _coarseness(part, _touching((predicted[window] == label) & free, drawn))
            outlines.append(_Outline(part, coarseness))
        if outlines:
            # Who is in a hurry draws all objects so: one alone may be a matter of its shape.
            areas = [one.part.area for one in outlines]
            mean = float(np.average([one.coarseness for one in outlines], weights=areas))
            worst = max(outlines, key=lambda one: one.coarseness)
            yield Doubt(DoubtKind.COARSE, mean, label, 0, worst.part.box)


def _gain_elsewhere(probabilities: _Floats, part: _Part, at: tuple[int, int]) -> float:
    """How much surer a network is of the class where the object would fit best, within reach."""
    template = part.mask.astype(np.float32)
    fits = cv2.matchTemplate(probabilities.astype(np.float32), template, cv2.TM_CCORR) / part.area
    return float(np.clip(fits.max() - fits[at], 0.0, 1.0))


def _coarseness(part: _Part, seen: _Mask) -> float:
    """Fewer corners than what is predicted in its place has, and few for its size; in [0, 1]."""
    n_drawn, n_seen = _corners(part.mask), _corners(seen)
    if n_seen <= n_drawn:
        return 0.0
    return (1.0 - n_drawn / n_seen) / (1.0 + n_drawn / float(np.sqrt(part.diameter)))


def _of_predicted(
    probabilities: _Floats,
    predicted: LabelMap,
    label_map: LabelMap,
    typical: Mapping[int, Typical],
) -> Iterator[Doubt]:
    """Doubts about what a network sees and nobody, or another class, has drawn."""
    is_drawn = ((label_map > 0) & (label_map < len(probabilities))).any()
    nothing = DoubtKind.MISSING_OBJECT if is_drawn else DoubtKind.EMPTY
    for seen in (label for label in np.unique(predicted).tolist() if label):
        size = typical.get(seen, Typical(0.0, 0.0))
        radius = int(RIM * size.depth_px)
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        where = predicted == seen
        # Only the classes that are drawn there: with 255 of them hardly any pair meets.
        for drawn in np.unique(label_map[where]).tolist():
            if drawn == seen:
                continue
            apart = (where & (label_map == drawn)).astype(np.uint8)
            if radius:
                apart = cv2.morphologyEx(apart, cv2.MORPH_OPEN, brush)
            for part in _parts(apart > 0):
                inside = probabilities[(slice(None), *part.where)][:, part.mask].mean(axis=1)
                sure = float(np.clip(inside[seen] - inside[drawn], 0.0, 1.0))
                whole = min(1.0, part.area / size.area_px) if size.area_px > 0 else 1.0
                if drawn:
                    yield Doubt(DoubtKind.WRONG_CLASS, sure * whole, drawn, seen, part.box)
                else:
                    yield Doubt(nothing, sure * whole, seen, 0, part.box)


def _parts(mask: _Mask) -> list[_Part]:
    """Its components of ``MIN_AREA_PX`` and more, the largest first."""
    n, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:n, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable")[:MOST_PARTS]
    parts = []
    for index in order[areas[order] >= MIN_AREA_PX]:
        x, y, width, height = (int(value) for value in stats[index + 1, :4])
        within = numbers[y : y + height, x : x + width] == index + 1
        parts.append(_Part((x, y, width, height), within))
    return parts


def _round(part: _Part, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """A window round a component, as far as it may have been moved, and the component's place."""
    x, y, width, height = part.box
    margin = max(4, int(REACH * part.diameter))
    top, left = max(0, y - margin), max(0, x - margin)
    bottom, right = min(shape[0], y + height + margin), min(shape[1], x + width + margin)
    return (slice(top, bottom), slice(left, right)), (y - top, x - left)


def _touching(mask: _Mask, drawn: _Mask) -> _Mask:
    """The components of a mask that overlap what was drawn."""
    _, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    touched = np.unique(numbers[drawn & mask])
    return np.isin(numbers, touched[touched > 0])


def _corners(mask: _Mask) -> int:
    """Corners of the polygon that follows its longest outline within ``OUTLINE_PX``."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(outlines, key=len, default=None)
    return 0 if longest is None else len(cv2.approxPolyDP(longest, OUTLINE_PX, True))


def _scale(shape: tuple[int, ...]) -> float:
    return float(min(1.0, np.sqrt(MOST_PX / max(1, shape[0] * shape[1]))))


def _smaller(label_map: LabelMap, scale: float) -> LabelMap:
    if scale == 1.0:
        return label_map
    height, width = (max(1, round(side * scale)) for side in label_map.shape)
    small = cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(small, label_map.dtype)


def _enlarged(doubt: Doubt, scale: float) -> Doubt:
    """With its box in pixels of the image."""
    if scale == 1.0:
        return doubt
    x, y, width, height = (round(value / scale) for value in doubt.box)
    return replace(doubt, box=(x, y, width, height))
