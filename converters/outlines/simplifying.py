"""Borders -> simplified polygons that still cover the image without gap or overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from converters.outlines.arc_fitting import N_LEVELS, ArcFitter
from converters.outlines.arcs import Borders, Part
from converters.outlines.limits import Simplification
from converters.outlines.topology import Box, faults, topology
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon, Ring

_EXACT = N_LEVELS - 1
_FREE_PX = 0.15
"""Mean displacement of a border that changes hardly any pixel."""

_FRAME_PX = 2
_INNER = slice(_FRAME_PX, -_FRAME_PX)
_MIN_RING = 3

_REACH_PX = 1.5
"""Around a fault, so far the trace is followed."""

_APART = "FF*F*****"
"""DE-9IM of two arcs that share nothing but ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A part's polygon and how much of the part's pixels it keeps (0..1)."""

    polygon: Polygon
    iou: float


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
        self._drawn: dict[int, npt.NDArray[np.bool_]] = {}
        """Each outline's pixels, in a window a little wider than the part's."""
        self._holes: dict[int, Ring] = {}
        """Exact rings of holes, by their first arc."""
        self._kept_anew: set[int] = set()
        self._levels = [] if how.tolerance_px == 0 else self._first_levels()

    def exact(self) -> tuple[Outline, ...]:
        self._levels = [_EXACT] * len(self._fitters)
        return self.outlines()

    def outlines(self) -> tuple[Outline, ...]:
        return tuple(self._outline(number) for number in range(len(self._parts)))

    def settle(self) -> None:
        """Refines arcs until nothing is wrong."""
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
            if self._outline(n).polygon.n_vertices > self._how.vertex_budget
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

    def _first_levels(self) -> list[int]:
        """Where to begin: levels whose moved area is about what the limit allows."""
        levels = [0] * len(self._fitters)
        for number, arcs in enumerate(self._arcs_of):
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
        for arc in arcs:
            if self._levels[arc] < _EXACT:
                self._levels[arc] = self._fitters[arc].next_level(self._levels[arc])
                changed.update(self._owners[arc])
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
        if any(len(ring) < _MIN_RING for ring in polygon.rings):
            self._drawn[number] = np.zeros_like(np.pad(part.pixels, _FRAME_PX))
            return 0.0
        rows, columns = part.window
        origin = np.array([columns.start - _FRAME_PX, rows.start - _FRAME_PX], dtype=np.float64)
        moved = Polygon(polygon.exterior - origin, tuple(h - origin for h in polygon.holes))
        height, width = part.pixels.shape
        drawn = polygon_to_mask(moved, (height + 2 * _FRAME_PX, width + 2 * _FRAME_PX))
        self._drawn[number] = drawn
        overlap = int(np.count_nonzero(drawn[_INNER, _INNER] & part.pixels))
        return overlap / (int(np.count_nonzero(drawn)) + self._areas[number] - overlap)

    def _failing_arcs(self, number: int) -> list[int]:
        """The arcs of a part to make finer, none if the part holds its limits."""
        arcs = self._arcs_of[number]
        empty = [arc for arc in arcs if len(self._vertices(arc)) == 0]
        if empty:
            return empty
        iou = self._outline(number).iou
        if self._over_budget[number]:
            return (
                self._failing_holes(number) if iou >= self._how.iou_floor else self._coarsest(arcs)
            )
        if iou < max(self._how.iou_target, self._how.iou_floor):
            return self._coarsest(arcs)
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
            if arcs[0] not in self._holes:
                self._holes[arcs[0]] = self._ring(ring, exact=True)
            if _ring_iou(self._holes[arcs[0]], drawn) < self._how.iou_floor:
                failing.update(self._coarsest(arcs))
        return [arc for arc in failing if self._levels[arc] < _EXACT]

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
            if not self._keep(pair, [(xy - _REACH_PX, xy + _REACH_PX) for xy in common]):
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
        torn: set[int] = set()
        for numbers in self._numbers_by_class():
            torn.update(self._torn_of_class(numbers))
        return {arc for number in torn for arc in self._coarsest(self._arcs_of[number])}

    def _numbers_by_class(self) -> Iterator[list[int]]:
        for class_index in sorted({p.class_index for p in self._parts}):
            yield [n for n, p in enumerate(self._parts) if p.class_index == class_index]

    def _torn_of_class(self, numbers: Sequence[int]) -> set[int]:
        before, after, origin = self._masks_of(numbers)
        if topology(before) == topology(after):
            return set()
        boxes = [
            (low + origin - _REACH_PX, high + origin + _REACH_PX)
            for low, high in faults(before, after)
        ]
        if self._keep((arc for n in numbers for arc in self._arcs_of[n]), boxes):
            return set()
        able = {n for n in numbers if any(self._levels[a] < _EXACT for a in self._arcs_of[n])}
        by_itself = {
            n
            for n in able
            if topology(np.pad(self._parts[n].pixels, _FRAME_PX)) != topology(self._drawn[n])
        }
        return by_itself or able

    def _masks_of(
        self, numbers: Sequence[int]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        """Pixels of a class before and after, around its parts, and the window's (x, y)."""
        windows = [self._parts[n].window for n in numbers]
        top = min(rows.start for rows, _ in windows) - 3
        left = min(columns.start for _, columns in windows) - 3
        bottom = max(rows.stop for rows, _ in windows) + 3
        right = max(columns.stop for _, columns in windows) + 3
        before = np.zeros((bottom - top, right - left), dtype=np.uint8)
        after = np.zeros_like(before)
        for number in numbers:
            rows, columns = self._parts[number].window
            y, x = rows.start - top, columns.start - left
            height, width = self._parts[number].pixels.shape
            before[y : y + height, x : x + width] |= self._parts[number].pixels
            self._outline(number)
            inner = after[y - 2 : y + height + 2, x - 2 : x + width + 2]
            inner |= self._drawn[number]
        return before, after, np.array([left, top], dtype=np.float64)


def _ring_iou(exact: Ring, drawn: Ring) -> float:
    """Overlap of the pixels in two rings (0..1)."""
    both = np.concatenate([exact, drawn])
    origin = np.floor(both.min(axis=0))
    width, height = (np.ceil(both.max(axis=0)) - origin).astype(int).tolist()
    a, b = (polygon_to_mask(Polygon(ring - origin), (height, width)) for ring in (exact, drawn))
    return int(np.count_nonzero(a & b)) / int(np.count_nonzero(a | b))
