"""Where a label map and a prediction that has not seen it disagree, and how: what may be wrong.

A label map is doubted where a network is sure of something else. How sure is taken per component,
as the mean probability inside it; the mean over an image would hide one wrong object among many
(soft minimum over pixels: Lad & Mueller 2023, arXiv:2307.05080). Which doubts stand out is decided
over all cases of a project (``active_learning.label_qa``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.doubts import Doubt, DoubtKind
from domain.geometry import LabelMap
from domain.prediction import most_probable

MIN_AREA_PX = 16
"""Smaller components are noise of outlines."""

MOST_PARTS = 200
"""Components looked at of a class, the largest."""

APART = 0.1
"""A predicted component of which no more than this share is labelled stands by itself."""

OUTLINE_PX = 1.0
"""Tolerance with which outlines are made polygons, whose corners are counted."""

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Part:
    """A connected component: its mask within its box."""

    box: tuple[int, int, int, int]
    mask: _Mask

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def where(self) -> tuple[slice, slice]:
        x, y, width, height = self.box
        return slice(y, y + height), slice(x, x + width)


def label_doubts(
    probabilities: npt.NDArray[np.float32],
    label_map: LabelMap,
    typical_area_px: Mapping[int, float] | None = None,
) -> tuple[Doubt, ...]:
    """The strongest doubt of each kind.

    Args:
        probabilities: (class, height, width) softmax in [0, 1] of a network that has not seen the
            image, class 0 = background.
        label_map: (height, width) integers, the same classes.
        typical_area_px: Of an object of each class in pixels; a missing object that is much smaller
            is doubted less. Without it all sizes count the same.

    Returns:
        At most one of each kind, of those with a strength above 0.

    Raises:
        ValueError: The two are not of one size.
    """
    if probabilities.shape[1:] != label_map.shape:
        raise ValueError(
            f"Probabilities {probabilities.shape} and label map {label_map.shape} differ in size."
        )
    predicted = most_probable(probabilities)
    found = [
        *_of_labelled(probabilities, predicted, label_map),
        *_of_predicted(probabilities, predicted, label_map, typical_area_px or {}),
    ]
    strongest: dict[DoubtKind, Doubt] = {}
    for one in found:
        if one.strength > 0 and (
            one.kind not in strongest or one.strength > strongest[one.kind].strength
        ):
            strongest[one.kind] = one
    return tuple(strongest.values())


def _of_labelled(
    probabilities: npt.NDArray[np.float32], predicted: LabelMap, label_map: LabelMap
) -> Iterator[Doubt]:
    for label in range(1, len(probabilities)):
        for part in _parts(label_map == label):
            inside = probabilities[(slice(None), *part.where)][:, part.mask].mean(axis=1)
            others = inside.copy()
            others[[0, label]] = 0.0
            other = int(others.argmax())
            if others[other] > inside[label]:
                sure = float(others[other] - inside[label])
                yield Doubt(DoubtKind.WRONG_CLASS, sure, label, other, part.box)
                continue
            yield from _of_outline(predicted == label, part, label)


def _of_outline(predicted: _Mask, part: _Part, label: int) -> Iterator[Doubt]:
    """Doubts about the outline of a labelled component, against what was predicted round it."""
    x, y, width, height = part.box
    margin = max(4, (width + height) // 4)
    top, left = max(0, y - margin), max(0, x - margin)
    window = predicted[top : y + height + margin, left : x + width + margin]
    drawn = np.zeros(window.shape, dtype=bool)
    drawn[y - top : y - top + height, x - left : x - left + width] = part.mask
    seen = _touching(window, drawn)
    if not seen.any():
        return
    as_drawn = _dice(drawn, seen)
    by = np.round(_centre(seen) - _centre(drawn)).astype(int)
    moved = _shifted(drawn, by)
    after = _dice(moved, seen)
    if after > as_drawn:
        yield Doubt(DoubtKind.SHIFTED, after - as_drawn, label, 0, part.box)
    n_drawn, n_seen = _corners(drawn), _corners(seen)
    if n_seen > n_drawn:
        # Of two outlines that fit equally badly the one with fewer corners is the coarse one.
        coarse = (1 - n_drawn / n_seen) * (1 - after)
        yield Doubt(DoubtKind.COARSE, coarse, label, 0, part.box)


def _of_predicted(
    probabilities: npt.NDArray[np.float32],
    predicted: LabelMap,
    label_map: LabelMap,
    typical_area_px: Mapping[int, float],
) -> Iterator[Doubt]:
    labelled = label_map > 0
    kind = DoubtKind.MISSING_OBJECT if labelled.any() else DoubtKind.EMPTY
    for label in range(1, len(probabilities)):
        typical = typical_area_px.get(label, 0.0)
        for part in _parts(predicted == label):
            if labelled[part.where][part.mask].mean() > APART:
                continue
            sure = float(probabilities[(label, *part.where)][part.mask].mean())
            size = min(1.0, part.area / typical) if typical > 0 else 1.0
            yield Doubt(kind, sure * size, label, 0, part.box)


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


def _touching(mask: _Mask, drawn: _Mask) -> _Mask:
    """The components of a mask that overlap what was drawn."""
    _, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    touched = np.unique(numbers[drawn & mask])
    return np.isin(numbers, touched[touched > 0])


def _centre(mask: _Mask) -> npt.NDArray[np.float64]:
    return np.array([axis.mean() for axis in np.nonzero(mask)])


def _shifted(mask: _Mask, by: npt.NDArray[np.int_]) -> _Mask:
    """Moved by rows and columns; what leaves the window is cut off."""
    moved = np.zeros_like(mask)
    (dy, dx), (height, width) = by, mask.shape
    moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = mask[
        max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)
    ]
    return moved


def _dice(a: _Mask, b: _Mask) -> float:
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else 1.0


def _corners(mask: _Mask) -> int:
    """Corners of the polygons that follow its outlines within ``OUTLINE_PX``."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return sum(len(cv2.approxPolyDP(outline, OUTLINE_PX, True)) for outline in outlines)
