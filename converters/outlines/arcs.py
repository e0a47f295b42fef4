"""Label map -> its borders, cut into arcs that neighbouring parts share.

An arc is a stretch of border between two junctions (places where three labels meet, the image's
outside being one of them) or a closed ring without any. Two neighbours hold the very same arc, so
what is done to it leaves neither gap nor overlap between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from converters.outlines.contours import parts_of
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import PIXEL_DECIMALS, LabelMap, Polygon, Ring

_OUTSIDE = -1

Ints = npt.NDArray[np.intp]
Probabilities = npt.NDArray[np.float32]
"""(class, height, width) float32 in [0, 1]; class 0 is background."""

MIN_MARGIN = 0.01
"""Least distance in pixels of a sub-pixel edge from a pixel centre, so that rounding a coordinate
can't move a pixel across it."""


@dataclass(frozen=True, slots=True, eq=False)
class Arc:
    """A stretch of border: (n, 2) float64 points in pixels. A closed one does not repeat its start.

    The ends of an open arc are junctions and stay where they are.
    """

    points: Ring
    is_closed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A connected part of a class: exterior first, then holes; a ring is (arc, forwards) pairs.

    ``window`` holds the part's bounding box (rows, columns), ``pixels`` its (h, w) bool mask there.
    """

    class_index: int
    rings: tuple[tuple[tuple[int, bool], ...], ...]
    window: tuple[slice, slice]
    pixels: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """Every part of a label map of ``size_hw`` (height, width) and the arcs around them."""

    size_hw: tuple[int, int]
    arcs: tuple[Arc, ...]
    parts: tuple[Part, ...]


def borders_of(
    label_map: LabelMap,
    class_indices: Iterable[int],
    *,
    probabilities: Probabilities | None = None,
    min_area_px: int = 0,
) -> Borders:
    """Traces the borders of every connected part (pixels that share a side).

    Borders run half way between pixel centres or, where probabilities are given, where those of the
    two neighbours are equal, linear between the centres. Along the image they run on its border.

    Args:
        label_map: (height, width) uint8.
        class_indices: the classes to draw, in this order; others count as background.
        probabilities: (class, height, width); ``label_map`` is their argmax.
        min_area_px: parts of fewer pixels become background; 0 keeps all.

    Returns:
        The parts class by class, from the top; painting them gives the label map back.
    """
    classes = tuple(class_indices)
    labels = _without_others(label_map, classes)
    if min_area_px > 1:
        for class_index in classes:
            _drop_small(labels, class_index, min_area_px)
    junctions = _Junctions(labels)
    collector = _ArcCollector(labels, probabilities)
    parts = []
    for class_index in classes:
        for polygon in parts_of(labels == class_index):
            rings = tuple(collector.add(*junctions.split(ring)) for ring in polygon.rings)
            parts.append(Part(class_index, rings, *_pixels_of(polygon)))
    height, width = labels.shape
    return Borders((height, width), tuple(collector.arcs), tuple(parts))


def _without_others(label_map: LabelMap, classes: tuple[int, ...]) -> LabelMap:
    kept = np.zeros(256, dtype=np.uint8)
    kept[list(classes)] = classes
    return np.asarray(kept[label_map])


def _drop_small(labels: LabelMap, class_index: int, min_area_px: int) -> None:
    """Makes parts of a class with fewer pixels background, in place."""
    inside = (labels == class_index).astype(np.uint8)
    _, numbered, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < min_area_px
    small[0] = False
    labels[small[numbered]] = 0


def _pixels_of(polygon: Polygon) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
    """The polygon's bounding box as slices (rows, columns), and its mask there."""
    left, top = np.floor(polygon.exterior.min(axis=0) + 0.5).astype(int).tolist()
    right, bottom = np.ceil(polygon.exterior.max(axis=0) - 0.5).astype(int).tolist()
    origin = np.array([left, top], dtype=np.float64)
    moved = Polygon(polygon.exterior - origin, tuple(hole - origin for hole in polygon.holes))
    mask = polygon_to_mask(moved, (bottom - top, right - left))
    return (slice(top, bottom), slice(left, right)), mask


class _Junctions:
    """Where more than two labels meet, seen from the lattice points between pixels."""

    def __init__(self, labels: LabelMap) -> None:
        self._framed = np.pad(labels.astype(np.int16), 1, constant_values=_OUTSIDE)

    def _at(self, rows: Ints, columns: Ints) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Whether three labels or more meet there; in a row, or with two alike across the corner.

        In the second case the parts of the two stay separate and every corner is cut: a common
        point would make rings touch.
        """
        framed = self._framed
        a, b = framed[rows, columns], framed[rows, columns + 1]
        c, d = framed[rows + 1, columns], framed[rows + 1, columns + 1]
        n_changes = sum((p != q).astype(np.int8) for p, q in ((a, b), (b, d), (d, c), (c, a)))
        two_labels = (a == d) & (b == c)
        across = (n_changes == 4) & ((a == d) | (b == c))
        saddle = across & ~(two_labels & ((a == 0) | (b == 0)))
        height, width = framed.shape
        corner = np.isin(rows, (0, height - 2)) & np.isin(columns, (0, width - 2))
        return corner | ((n_changes >= 3) & ~across), saddle

    def split(self, ring: Ring) -> tuple[Ring, npt.NDArray[np.bool_]]:
        """The ring with a point at each junction, and which of its points are junctions."""
        following = np.roll(ring, -1, axis=0)
        lattice = np.where(ring == np.round(ring), ring, following)
        straight = (ring[:, 0] == following[:, 0]) | (ring[:, 1] == following[:, 1])
        lattice[straight] = (ring[straight] + following[straight]) / 2
        columns, rows = lattice.astype(np.intp).T
        corner, saddle = self._at(rows, columns)
        is_junction = saddle | np.roll(saddle, 1)
        after = np.flatnonzero(corner) + 1
        return (
            np.insert(ring, after, lattice[corner], axis=0),
            np.insert(is_junction, after, True),
        )


class _ArcCollector:
    """Holds every arc once, whichever neighbour came first."""

    def __init__(self, labels: LabelMap, probabilities: Probabilities | None) -> None:
        self.arcs: list[Arc] = []
        self._labels = labels
        self._probabilities = probabilities
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._stride = 2 * labels.shape[1] + 1

    def add(self, ring: Ring, is_junction: npt.NDArray[np.bool_]) -> tuple[tuple[int, bool], ...]:
        """(arc, forwards) pairs around the ring."""
        codes = (2 * ring[:, 1] * self._stride + 2 * ring[:, 0]).astype(np.int64)
        nodes = np.flatnonzero(is_junction)
        if len(nodes) == 0:
            start = int(codes.argmin())
            ring, codes = np.roll(ring, -start, axis=0), np.roll(codes, -start)
            forwards = bool(codes[1] < codes[-1])
            key = (int(codes[0]), *sorted((int(codes[1]), int(codes[-1]))))
            if not forwards:
                ring = np.concatenate([ring[:1], ring[:0:-1]])
            return self._reference(key, forwards, ring, is_closed=True)
        ring = np.roll(ring, -nodes[0], axis=0)
        codes = np.roll(codes, -nodes[0])
        stops = [*(nodes - nodes[0]).tolist(), len(ring)]
        ring, codes = np.concatenate([ring, ring[:1]]), np.append(codes, codes[0])
        pairs: list[tuple[int, bool]] = []
        for first, last in pairwise(stops):
            points, own = ring[first : last + 1], codes[first : last + 1]
            forwards = bool((own[0], own[1]) < (own[-1], own[-2]))
            middle = int(own[1:-1].min()) if len(own) > 2 else -1
            key = (*sorted((int(own[0]), int(own[-1]))), middle)
            pairs += self._reference(
                key, forwards, points if forwards else points[::-1], is_closed=False
            )
        return tuple(pairs)

    def _reference(
        self, key: tuple[int, ...], forwards: bool, points: Ring, *, is_closed: bool
    ) -> tuple[tuple[int, bool], ...]:
        indices = self._known.get(key)
        if indices is None:
            shifted = self._shifted(points)
            # An arc that ends where it starts is cut: its ends must differ to be junctions.
            is_loop = not is_closed and bool((points[0] == points[-1]).all())
            half = len(points) // 2
            pieces = [shifted[: half + 1], shifted[half:]] if is_loop else [shifted]
            indices = tuple(range(len(self.arcs), len(self.arcs) + len(pieces)))
            self.arcs += [Arc(piece, is_closed) for piece in pieces]
            self._known[key] = indices
        return tuple((i, forwards) for i in (indices if forwards else indices[::-1]))

    def _shifted(self, points: Ring) -> Ring:
        """The points moved to where the probabilities of the two pixels beside are equal."""
        if self._probabilities is None:
            return points
        height, width = self._labels.shape
        shifted = points.copy()
        x, y = points.T
        column, row = (
            np.minimum(x, width - 1).astype(np.intp),
            np.minimum(y, height - 1).astype(np.intp),
        )
        is_whole = points == np.round(points)
        for axis, limit, other_limit in ((0, width, height), (1, height, width)):
            # Between two columns (or rows): not in a corner, unless it is one of the border's.
            other = points[:, 1 - axis]
            is_across = ~is_whole[:, 1 - axis] | (other == 0) | (other == other_limit)
            is_inside = (points[:, axis] > 0) & (points[:, axis] < limit)
            chosen = np.flatnonzero(is_whole[:, axis] & is_across & is_inside)
            high = (row[chosen], column[chosen])
            low = (high[0] - (axis == 1), high[1] - (axis == 0))
            a, b = self._labels[low].astype(np.intp), self._labels[high].astype(np.intp)
            at_low = self._probabilities[a, *low] - self._probabilities[b, *low]
            at_high = self._probabilities[b, *high] - self._probabilities[a, *high]
            total = at_low.astype(np.float64) + at_high
            share = np.where(total > 0, at_low / np.where(total > 0, total, 1.0), 0.5)
            shifted[chosen, axis] += np.clip(share, MIN_MARGIN, 1 - MIN_MARGIN) - 0.5
        return np.round(shifted, PIXEL_DECIMALS)
