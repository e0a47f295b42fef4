"""Label maps broken in the five ways that people break them, one way each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from domain.doubts import DoubtKind
from domain.geometry import LabelMap

SHARE = 0.05
"""Of the labels that is broken."""

MOVED = 0.4
"""How far an object is dragged: this part of the diameter of a disc of its area. A disc keeps a
Dice of 0.5 with its own place."""

CORNERS = 5
"""Clicks that somebody in a hurry spends on the outline of an object."""

LEAST_PX = 64
"""Smaller objects are left as they are: nobody could tell."""

_Mask = npt.NDArray[np.bool_]


def break_labels(
    truths: Mapping[str, LabelMap], n_classes: int, rng: np.random.Generator
) -> tuple[dict[str, LabelMap], dict[str, DoubtKind]]:
    """Breaks a share of label maps, each in one way, each way about as often.

    Args:
        truths: Case id -> label map, (height, width) uint8.
        n_classes: Without background; of one class no object can have the wrong one.
        rng: Draws the cases, the order of the ways, and the objects.

    Returns:
        All label maps, and how those that are broken were broken.
    """
    ways = list(DoubtKind)
    order = {ways[i]: place for place, i in enumerate(rng.permutation(len(ways)))}
    n_wanted = max(1, round(SHARE * len(truths)))
    labels, broken = dict(truths), dict[str, DoubtKind]()
    for i in rng.permutation(len(truths)):
        case_id = sorted(truths)[i]
        done = Counter(broken.values())
        # Not every label map can be broken in every way: then in the next one.
        for kind in sorted(ways, key=lambda way: (done[way], order[way])):
            found = break_label(truths[case_id], kind, n_classes, rng)
            if found is not None:
                labels[case_id], broken[case_id] = found, kind
                break
        if len(broken) == n_wanted:
            break
    return labels, broken


def break_label(
    truth: LabelMap, kind: DoubtKind, n_classes: int, rng: np.random.Generator
) -> LabelMap | None:
    """One label map broken; None where it can't be broken that way.

    - wrong class: one object has another class;
    - missing object: one of several objects, of at least half their median area, is left out;
    - empty by mistake: all are;
    - shifted outline: one object is dragged by ``MOVED`` of its diameter, in any direction;
    - coarse outline: every object is drawn with at most ``CORNERS`` corners on its outline.
    """
    objects = _objects(truth)
    if not objects:
        return None
    areas = [int(np.count_nonzero(mask)) for _, mask in objects]
    fit = [one for one, a in zip(objects, areas, strict=True) if a >= np.median(areas) / 2]
    label, mask = fit[int(rng.integers(len(fit)))]
    found = truth.copy()
    if kind is DoubtKind.WRONG_CLASS:
        others = [k for k in range(1, n_classes + 1) if k != label]
        if not others:
            return None
        found[mask] = others[int(rng.integers(len(others)))]
    elif kind is DoubtKind.MISSING_OBJECT:
        if len(objects) < 2:
            return None
        found[mask] = 0
    elif kind is DoubtKind.EMPTY:
        found[:] = 0
    elif kind is DoubtKind.SHIFTED:
        found[mask] = 0
        found[_moved(mask, rng.uniform(0, 2 * np.pi))] = label
    else:
        for _, mask in objects:
            found[mask] = 0
        for label, mask in sorted(objects, key=lambda one: -np.count_nonzero(_filled(one[1]))):
            found[_coarse(mask)] = label
    return found


def _objects(truth: LabelMap) -> list[tuple[int, _Mask]]:
    """Class and mask of each connected part of at least ``LEAST_PX``."""
    found: list[tuple[int, _Mask]] = []
    for label in np.unique(truth[truth > 0]).tolist():
        n, numbers = cv2.connectedComponents((truth == label).astype(np.uint8), connectivity=8)
        masks = (numbers == k for k in range(1, n))
        found += [(label, mask) for mask in masks if np.count_nonzero(mask) >= LEAST_PX]
    return found


def _moved(mask: _Mask, angle: float) -> _Mask:
    far = MOVED * 2 * np.sqrt(np.count_nonzero(mask) / np.pi)
    by = np.array([[1, 0, far * np.cos(angle)], [0, 1, far * np.sin(angle)]])
    height, width = mask.shape
    moved = cv2.warpAffine(mask.astype(np.uint8), by, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(moved, dtype=bool)


def _filled(mask: _Mask) -> _Mask:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(drawn, outlines, -1, 1, cv2.FILLED)
    return drawn.astype(bool)


def _coarse(mask: _Mask) -> _Mask:
    """An object as outlines of few corners enclose it; its holes are drawn as coarsely."""
    outlines, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros(mask.shape, np.uint8)
    for outline, (_, _, _, parent) in zip(outlines, tree[0], strict=True):
        if parent < 0 or cv2.contourArea(outline) >= LEAST_PX:
            cv2.fillPoly(drawn, [_few_corners(outline)], int(parent < 0))
    return drawn.astype(bool)


def _few_corners(outline: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    tolerance = 0.5
    while True:
        corners = cv2.approxPolyDP(outline, tolerance, True)
        if len(corners) <= CORNERS:
            return np.asarray(corners, np.int32)
        tolerance *= 1.1
