"""Label map -> its borders, cut into arcs that neighbouring parts share.

An arc is a stretch of border between two junctions (places where three labels meet, the image's
outside being one of them) or a closed ring without any. Two neighbours hold the very same arc, so
what is done to it leaves neither gap nor overlap between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import cv2
import numpy as np
import numpy.typing as npt

from converters.outlines.contours import parts_of
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
    """A stretch of border: (n, 2) float64 points in pixels.

    The ends of an open arc are junctions and stay where they are. A closed one starts at the point
    farthest from its middle, and does not repeat it.
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
    parts: list[Part] = []
    for class_index in classes:
        inside = labels == class_index
        polygons = parts_of(inside)
        rings = iter(collector.add(*junctions.split([r for p in polygons for r in p.rings])))
        pixels = _pixels_of(polygons, inside)
        for polygon, own in zip(polygons, pixels, strict=True):
            parts.append(Part(class_index, tuple(islice(rings, len(polygon.rings))), *own))
    height, width = labels.shape
    return Borders((height, width), _from_the_farthest(collector.arcs), tuple(parts))


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


def _pixels_of(
    polygons: Sequence[Polygon], inside: npt.NDArray[np.bool_]
) -> Iterator[tuple[tuple[slice, slice], npt.NDArray[np.bool_]]]:
    """The bounding box of each part of a class, as slices (rows, columns), and its mask there."""
    if not polygons:
        return
    exteriors = np.concatenate([polygon.exterior for polygon in polygons])
    left, top = np.floor(exteriors.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(exteriors.max(axis=0)).astype(int).tolist()
    framed = np.pad(inside[top:bottom, left:right].view(np.uint8), 1)
    _, numbered, stats, _ = cv2.connectedComponentsWithStats(framed, connectivity=4)
    # An outline's first point lies between two pixels, one of them inside.
    columns, rows = np.array([polygon.exterior[0] for polygon in polygons]).T - [[left], [top]]
    beside = [
        numbered[np.floor(rows + step).astype(int) + 1, np.floor(columns + step).astype(int) + 1]
        for step in (-0.25, 0.25)
    ]
    for number in np.maximum(*beside).tolist():
        x, y, width, height = stats[number, :4].tolist()
        pixels = numbered[y : y + height, x : x + width] == number
        x, y = x + left - 1, y + top - 1
        yield (slice(y, y + height), slice(x, x + width)), pixels


def _from_the_farthest(arcs: Sequence[Arc]) -> tuple[Arc, ...]:
    """Starts closed arcs at the point farthest from their middle: most likely a corner."""
    closed = [arc.points for arc in arcs if arc.is_closed]
    if not closed:
        return tuple(arcs)
    lengths = np.array([len(points) for points in closed])
    first = np.cumsum(lengths) - lengths
    points = np.concatenate(closed)
    middles = np.add.reduceat(points, first) / lengths[:, np.newaxis]
    away = ((points - np.repeat(middles, lengths, axis=0)) ** 2).sum(axis=1)
    farthest = np.flatnonzero(away == np.repeat(np.maximum.reduceat(away, first), lengths))
    starts = iter((farthest[np.searchsorted(farthest, first)] - first).tolist())
    return tuple(
        Arc(_rolled(arc.points, next(starts)), True) if arc.is_closed else arc for arc in arcs
    )


def _rolled(ring: Ring, start: int) -> Ring:
    return np.concatenate([ring[start:], ring[:start]])


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

    def split(self, rings: Sequence[Ring]) -> tuple[Ring, npt.NDArray[np.bool_], list[int]]:
        """The rings with a point at each junction, one after the other.

        Returns:
            (n, 2) points, (n,) which of them are junctions, and where rings begin; n comes last.
        """
        if not rings:
            return np.zeros((0, 2)), np.zeros(0, dtype=np.bool_), [0]
        ring = np.concatenate(rings)
        stops = np.cumsum([len(r) for r in rings])
        begins = np.append(0, stops[:-1])
        after, before = np.arange(len(ring)) + 1, np.arange(len(ring)) - 1
        after[stops - 1], before[begins] = begins, stops - 1
        following = ring[after]
        lattice = np.where(ring == np.round(ring), ring, following)
        straight = (ring[:, 0] == following[:, 0]) | (ring[:, 1] == following[:, 1])
        lattice[straight] = (ring[straight] + following[straight]) / 2
        columns, rows = lattice.astype(np.intp).T
        corner, saddle = self._at(rows, columns)
        is_junction = saddle | saddle[before]
        added = np.flatnonzero(corner) + 1
        begins = begins + np.append(0, np.cumsum(corner))[begins]
        return (
            np.insert(ring, added, lattice[corner], axis=0),
            np.insert(is_junction, added, True),
            [*begins.tolist(), len(ring) + len(added)],
        )


class _ArcCollector:
    """Holds every arc once, whichever neighbour came first."""

    def __init__(self, labels: LabelMap, probabilities: Probabilities | None) -> None:
        self.arcs: list[Arc] = []
        self._labels = labels
        self._probabilities = probabilities
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._stride = 2 * labels.shape[1] + 1

    def add(
        self, points: Ring, is_junction: npt.NDArray[np.bool_], begins: list[int]
    ) -> Iterator[tuple[tuple[int, bool], ...]]:
        """(arc, forwards) pairs around each ring; takes what ``_Junctions.split`` gives."""
        codes = (2 * points[:, 1] * self._stride + 2 * points[:, 0]).astype(np.int64)
        shifted = self._shifted(points)
        for first, last in pairwise(begins):
            nodes = np.flatnonzero(is_junction[first:last])
            yield self._add(codes[first:last], shifted[first:last], nodes)

    def _add(self, codes: Ints, points: Ring, nodes: Ints) -> tuple[tuple[int, bool], ...]:
        if len(nodes) == 0:
            start = int(codes.argmin())
            code, *beside = codes[[start, start - 1, (start + 1) % len(codes)]].tolist()
            forwards = beside[1] < beside[0]
            key = (code, *sorted(beside))
            if key not in self._known:
                ring = _rolled(points, start)
                ring = ring if forwards else np.concatenate([ring[:1], ring[:0:-1]])
                self._keep(key, [Arc(ring, True)])
            return self._reference(key, forwards)
        start = int(nodes[0])
        stops = [*(nodes - start).tolist(), len(codes)]
        points = np.concatenate([points[start:], points[: start + 1]])
        codes = np.concatenate([codes[start:], codes[: start + 1]])
        pairs: list[tuple[int, bool]] = []
        for first, last in pairwise(stops):
            own = codes[first : last + 1]
            ends = own[[0, 1, -2, -1]].tolist()
            forwards = (ends[0], ends[1]) < (ends[3], ends[2])
            middle = int(own[1:-1].min()) if len(own) > 2 else -1
            key = (*sorted((ends[0], ends[3])), middle)
            if key not in self._known:
                arc = points[first : last + 1] if forwards else points[first : last + 1][::-1]
                # An arc that ends where it starts is cut: its ends must differ to be junctions.
                half = len(arc) // 2
                pieces = [arc[: half + 1], arc[half:]] if ends[0] == ends[3] else [arc]
                self._keep(key, [Arc(piece, False) for piece in pieces])
            pairs += self._reference(key, forwards)
        return tuple(pairs)

    def _keep(self, key: tuple[int, ...], arcs: list[Arc]) -> None:
        self._known[key] = tuple(range(len(self.arcs), len(self.arcs) + len(arcs)))
        self.arcs += arcs

    def _reference(self, key: tuple[int, ...], forwards: bool) -> tuple[tuple[int, bool], ...]:
        indices = self._known[key]
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
