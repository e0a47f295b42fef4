"""Borders -> simplified polygons that still cover the image without gap or overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from converters.outlines.arc_fitting import (
    N_AREA_LADDERS,
    N_LEVELS,
    ArcFitter,
    next_levels,
    place,
    solve,
)
from converters.outlines.arcs import Borders, Part
from converters.outlines.limits import Simplification
from converters.outlines.topology import Box, faults, topology
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon, Ring

Window = tuple[slice, slice]
"""Rows and columns."""

_EXACT = N_LEVELS - 1
_FREE_PX = 0.15
"""Mean displacement of a border that changes hardly any pixel."""

_MIN_RING = 3

_UNDERSHOOT = 1.5
"""A part far below its limit leaps to where so many times the area still allowed is moved."""

_REACHES_PX = (1.0, 3.0, 9.0)
"""Around a fault, so far the trace is followed."""

_APART = "FF*F*****"
"""DE-9IM of two arcs that share nothing but ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A part's polygon and how much of the part's pixels it keeps (0..1)."""

    polygon: Polygon
    iou: float


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """The pixels of an outline in a window that holds all of it."""

    window: Window
    pixels: npt.NDArray[np.bool_]


def simplified(borders: Borders, how: Simplification) -> tuple[Outline, ...]:
    """Draws every part with as few vertices as the limits allow.

    Every arc is simplified once, for both its neighbours. It is made finer until both of them hold
    their limits, arcs neither cross nor touch, and every class has as many parts and holes as
    before, in pixels; the trace itself, the finest, always does.

    Args:
        borders: the traced parts.
        how: the limits.

    Returns:
        One outline per part, in the same order.
    """
    if how.tolerance_px == 0:
        return _Coverage(borders, how).exact()
    coverage = _Coverage(borders, how)
    coverage.begin()
    coverage.settle()
    coverage.keep_to_budget()
    return coverage.outlines()


class _Coverage:
    def __init__(self, borders: Borders, how: Simplification) -> None:
        self._parts = borders.parts
        self._how = how
        self._fitters = [
            ArcFitter(a.points, is_closed=a.is_closed, size_hw=borders.size_hw)
            for a in borders.arcs
        ]
        self._is_closed = [a.is_closed for a in borders.arcs]
        self._arcs_of = [sorted({i for ring in p.rings for i, _ in ring}) for p in borders.parts]
        self._owners: list[list[int]] = [[] for _ in borders.arcs]
        for number, arcs in enumerate(self._arcs_of):
            for arc in arcs:
                self._owners[arc].append(number)
        self._areas = [int(np.count_nonzero(p.pixels)) for p in self._parts]
        self._over_budget = np.zeros(len(self._parts), dtype=np.bool_)
        self._outlines: dict[int, Outline] = {}
        self._drawn: dict[int, _Drawn] = {}
        self._holes: dict[int, Ring] = {}
        """Exact rings of holes, by their first arc."""
        self._hole_ious: dict[int, tuple[Ring, float]] = {}
        """The ring drawn last and its overlap with the exact one, by the hole's first arc."""
        self._kept_anew: set[int] = set()
        self._levels = [0] * len(self._fitters)
        self._leaps: dict[int, int] = {}
        """Levels that arcs of parts far below their limits go to at once."""

    def exact(self) -> tuple[Outline, ...]:
        self._levels = [_EXACT] * len(self._fitters)
        return self.outlines()

    def outlines(self) -> tuple[Outline, ...]:
        return tuple(self._outline(number) for number in range(len(self._parts)))

    def begin(self) -> None:
        """Finds levels to begin with.

        Levels only become finer from here on: a part with too many vertices now has too many later.
        """
        every = range(len(self._parts))
        for ladder in range(N_AREA_LADDERS):
            solve(self._fitters, ladder)
        self._levels = self._first_levels(every)
        over = [n for n in every if self._n_edges(n) > self._how.vertex_budget]
        if over:
            self._over_budget[over] = True
            self._levels = self._first_levels(n for n in every if not self._over_budget[n])

    def settle(self) -> None:
        """Refines arcs until nothing is wrong."""
        place(zip(self._fitters, self._levels, strict=True))
        waiting = set(range(len(self._parts)))
        while True:
            while waiting:
                waiting = self._refine({arc for n in waiting for arc in self._failing_arcs(n)})
            for find_faults in (self._tangled, self._torn):
                self._kept_anew.clear()
                waiting = self._refine(find_faults()) | self._kept_anew
                if waiting:
                    break
            else:
                return

    def keep_to_budget(self) -> None:
        """Draws parts with too many vertices again, down to the floor."""
        over = [
            n
            for n in range(len(self._parts))
            if not self._over_budget[n]
            and self._outline(n).polygon.n_vertices > self._how.vertex_budget
        ]
        if not over:
            return
        self._over_budget[over] = True
        touched = set()
        for number in over:
            for arc in self._arcs_of[number]:
                self._levels[arc] = 0
                touched.update(self._owners[arc])
        for number in touched:
            self._outlines.pop(number, None)
        self.settle()

    def _n_edges(self, number: int) -> int:
        arcs = (arc for ring in self._parts[number].rings for arc, _ in ring)
        return sum(self._fitters[arc].n_edges(self._levels[arc]) for arc in arcs)

    def _first_levels(self, parts: Iterable[int]) -> list[int]:
        """Where to begin: levels whose moved area is about what the target allows."""
        levels = [0] * len(self._fitters)
        for number in parts:
            arcs = self._arcs_of[number]
            allowed = (1 - self._how.iou_target) * self._areas[number]
            allowed += _FREE_PX * sum(len(self._fitters[arc]) for arc in arcs)
            moved = np.sum([self._fitters[arc].areas_px2() for arc in arcs], axis=0)
            level = int(np.flatnonzero(moved <= allowed)[0])
            for arc in arcs:
                levels[arc] = max(levels[arc], level)
        return levels

    def _refine(self, arcs: set[int]) -> set[int]:
        """Takes arcs to the next level; returns the parts to look at again."""
        changed: set[int] = set()
        able = [arc for arc in arcs if self._levels[arc] < _EXACT]
        finer = next_levels([(self._fitters[arc], self._levels[arc]) for arc in able])
        for arc, level in zip(able, finer, strict=True):
            self._levels[arc] = max(level, self._leaps.pop(arc, 0))
            changed.update(self._owners[arc])
        place((self._fitters[arc], self._levels[arc]) for arc in able)
        for number in changed:
            self._outlines.pop(number, None)
        return changed

    def _vertices(self, arc: int) -> npt.NDArray[np.float64]:
        return self._fitters[arc].vertices(self._levels[arc])

    def _outline(self, number: int) -> Outline:
        if number not in self._outlines:
            polygon = self._polygon(self._parts[number])
            self._outlines[number] = Outline(polygon, self._iou(number, polygon))
        return self._outlines[number]

    def _polygon(self, part: Part) -> Polygon:
        rings = [self._ring(ring) for ring in part.rings]
        return Polygon(rings[0], tuple(rings[1:]))

    def _ring(self, ring: tuple[tuple[int, bool], ...], *, exact: bool = False) -> Ring:
        pieces = []
        for arc, forwards in ring:
            vertices = self._fitters[arc].vertices(_EXACT if exact else self._levels[arc])
            vertices = vertices if forwards else vertices[::-1]
            pieces.append(vertices if self._is_closed[arc] else vertices[:-1])
        return np.concatenate(pieces)

    def _iou(self, number: int, polygon: Polygon) -> float:
        part = self._parts[number]
        rows, columns = part.window
        low = np.array([columns.start, rows.start], dtype=np.float64)
        high = np.array([columns.stop, rows.stop], dtype=np.float64)
        if any(len(ring) < _MIN_RING for ring in polygon.rings):
            self._drawn[number] = _Drawn(part.window, np.zeros_like(part.pixels))
            return 0.0
        # A fitted corner may lie outside the part's own window.
        low = np.minimum(low, np.floor(polygon.exterior.min(axis=0)))
        high = np.maximum(high, np.ceil(polygon.exterior.max(axis=0)))
        (left, top), (width, height) = low.astype(int).tolist(), (high - low).astype(int).tolist()
        moved = Polygon(polygon.exterior - low, tuple(hole - low for hole in polygon.holes))
        drawn = polygon_to_mask(moved, (height, width))
        window = (slice(top, top + height), slice(left, left + width))
        self._drawn[number] = _Drawn(window, drawn)
        own = drawn[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        overlap = int(np.count_nonzero(own & part.pixels))
        return overlap / (int(np.count_nonzero(drawn)) + self._areas[number] - overlap)

    def _failing_arcs(self, number: int) -> list[int]:
        """The arcs of a part to make finer, none if the part holds its limits."""
        arcs = self._arcs_of[number]
        empty = [arc for arc in arcs if len(self._vertices(arc)) == 0]
        if empty:
            return empty
        iou = self._outline(number).iou
        if self._over_budget[number]:
            limit = self._how.iou_floor
            return (
                self._failing_holes(number) if iou >= limit else self._too_coarse(arcs, iou, limit)
            )
        limit = max(self._how.iou_target, self._how.iou_floor)
        if iou < limit:
            return self._too_coarse(arcs, iou, limit)
        holes = self._failing_holes(number)
        if holes:
            return holes
        return [
            arc
            for arc in arcs
            if self._fitters[arc].distance_px(self._levels[arc]) > self._how.tolerance_px
        ]

    def _failing_holes(self, number: int) -> list[int]:
        """Arcs around holes that keep too few of their pixels.

        A hole that another part fills is left to the limits of that part.
        """
        failing: set[int] = set()
        holes = zip(self._parts[number].rings[1:], self._outline(number).polygon.holes, strict=True)
        for ring, drawn in holes:
            arcs = [arc for arc, _ in ring]
            if any(len(self._owners[arc]) > 1 for arc in arcs):
                continue
            if self._hole_iou(ring, drawn) < self._how.iou_floor:
                failing.update(self._coarsest(arcs))
        return [arc for arc in failing if self._levels[arc] < _EXACT]

    def _hole_iou(self, ring: tuple[tuple[int, bool], ...], drawn: Ring) -> float:
        first = ring[0][0]
        if first not in self._holes:
            self._holes[first] = self._ring(ring, exact=True)
        before, iou = self._hole_ious.get(first, (None, 0.0))
        if before is None or not np.array_equal(before, drawn):
            iou = _ring_iou(self._holes[first], drawn)
            self._hole_ious[first] = (drawn, iou)
        return iou

    def _too_coarse(self, arcs: Sequence[int], iou: float, limit: float) -> list[int]:
        """The coarsest arcs of a part whose overlap is below a limit."""
        arcs = self._coarsest(arcs)
        aim = _UNDERSHOOT * (1 - limit) / (1 - iou)
        level = self._levels[arcs[0]]
        moved = np.sum([self._fitters[arc].areas_px2() for arc in arcs], axis=0)
        if aim < 1 and level < len(moved):
            leap = int(np.flatnonzero(moved <= aim * moved[level])[0])
            self._leaps.update((arc, min(leap, len(moved) - 1)) for arc in arcs)
        return arcs

    def _coarsest(self, arcs: Sequence[int]) -> list[int]:
        """Where a further vertex saves most."""
        level = min(self._levels[arc] for arc in arcs)
        return [arc for arc in arcs if self._levels[arc] == level]

    def _tangled(self) -> set[int]:
        """Arcs that cross or touch themselves or one another."""
        lines = np.array(
            [
                shapely.LinearRing(v) if closed else shapely.LineString(v)
                for v, closed in ((self._vertices(a), c) for a, c in enumerate(self._is_closed))
            ],
            dtype=object,
        )
        if len(lines) == 0:
            return set()
        tangled = set(np.flatnonzero(~shapely.is_simple(lines)).tolist())
        first, second = shapely.STRtree(lines).query(lines, predicate="intersects")
        pairs = first < second
        first, second = first[pairs], second[pairs]
        apart = shapely.relate_pattern(lines[first], lines[second], _APART)
        for pair in zip(first[~apart].tolist(), second[~apart].tolist(), strict=True):
            common = shapely.get_coordinates(shapely.intersection(lines[pair[0]], lines[pair[1]]))
            if not self._keep(pair, [(xy - _REACHES_PX[0], xy + _REACHES_PX[0]) for xy in common]):
                # The shorter one first: its few points are the cheaper way out.
                able = [arc for arc in pair if self._levels[arc] < _EXACT]
                tangled.add(min(able or pair, key=lambda arc: len(self._fitters[arc])))
        return tangled

    def _keep(self, arcs: Iterable[int], boxes: Sequence[Box]) -> bool:
        """Makes arcs follow their traces within boxes; whether that changed any."""
        changed = {
            arc
            for arc in arcs
            for low, high in boxes
            if self._levels[arc] < _EXACT and self._fitters[arc].keep(low, high)
        }
        for arc in changed:
            for number in self._owners[arc]:
                self._outlines.pop(number, None)
                self._kept_anew.add(number)
        return bool(changed)

    def _torn(self) -> set[int]:
        """Arcs of parts that fell apart, grew together, or lost or gained a hole, in pixels."""
        return {arc for numbers in self._numbers_by_class() for arc in self._torn_of_class(numbers)}

    def _numbers_by_class(self) -> Iterator[list[int]]:
        for class_index in sorted({p.class_index for p in self._parts}):
            yield [n for n, p in enumerate(self._parts) if p.class_index == class_index]

    def _torn_of_class(self, numbers: Sequence[int]) -> set[int]:
        before, after, origin = self._masks_of(numbers)
        if topology(before) == topology(after):
            return set()
        arcs = sorted({arc for n in numbers for arc in self._arcs_of[n]})
        found = [(low + origin, high + origin) for low, high in faults(before, after)]
        # The edge that is at fault may belong to a trace a little way off.
        for reach in _REACHES_PX:
            if self._keep(arcs, [(low - reach, high + reach) for low, high in found]):
                return set()
        return {arc for arc in arcs if self._levels[arc] < _EXACT}

    def _masks_of(
        self, numbers: Sequence[int]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        """Pixels of a class before and after, around its parts, and the window's (x, y)."""
        for number in numbers:
            self._outline(number)
        windows = [self._drawn[n].window for n in numbers]
        top = min(rows.start for rows, _ in windows) - 1
        left = min(columns.start for _, columns in windows) - 1
        bottom = max(rows.stop for rows, _ in windows) + 1
        right = max(columns.stop for _, columns in windows) + 1
        before = np.zeros((bottom - top, right - left), dtype=np.uint8)
        after = np.zeros_like(before)
        for number in numbers:
            part, drawn = self._parts[number], self._drawn[number]
            before[_within(part.window, top, left)] |= part.pixels
            after[_within(drawn.window, top, left)] |= drawn.pixels
        return before, after, np.array([left, top], dtype=np.float64)


def _within(window: Window, top: int, left: int) -> Window:
    rows, columns = window
    return (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )


def _ring_iou(exact: Ring, drawn: Ring) -> float:
    """Overlap of the pixels in two rings (0..1)."""
    both = np.concatenate([exact, drawn])
    origin = np.floor(both.min(axis=0))
    width, height = (np.ceil(both.max(axis=0)) - origin).astype(int).tolist()
    a, b = (polygon_to_mask(Polygon(ring - origin), (height, width)) for ring in (exact, drawn))
    return int(np.count_nonzero(a & b)) / int(np.count_nonzero(a | b))
