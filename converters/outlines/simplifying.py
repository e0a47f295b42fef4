"""Borders -> simplified polygons that still cover the image without gap or overlap."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import shapely

from converters.outlines.arc_fitting import (
    N_AREA_LADDERS,
    N_AREA_LEVELS,
    N_LEVELS,
    measure,
    next_levels,
    place,
    solve,
    solve_at,
)
from converters.outlines.arcs import Borders, Part
from converters.outlines.crossings import crossings, lines_of, own_crossings
from converters.outlines.drafts import Drafts, Outline
from converters.outlines.limits import Simplification
from converters.outlines.topology import Box, Tears
from domain.geometry import Ring

_EXACT = N_LEVELS - 1
_FREE_PX = 0.15
"""Mean displacement of a border that changes hardly any pixel."""

_UNDERSHOOT = 1.5
"""A part far below its limit leaps to where so many times the area still allowed is moved."""

_REACHES_PX = (1.0, 3.0, 9.0)
"""Around a fault, so far the trace is followed."""


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
    if not borders.parts:
        return ()
    coverage = _Coverage(borders, how)
    coverage.begin()
    coverage.settle()
    coverage.keep_to_budget()
    return coverage.outlines()


class _Coverage:
    def __init__(self, borders: Borders, how: Simplification) -> None:
        self._parts = borders.parts
        self._how = how
        self._limit = max(how.iou_target, how.iou_floor)
        self._drafts = Drafts(borders)
        self._fitters, self._levels = self._drafts.fitters, self._drafts.levels
        self._arcs_of, self._owners = self._drafts.arcs_of, self._drafts.owners
        corners = [(*a.points.min(axis=0), *a.points.max(axis=0)) for a in borders.arcs]
        boxes = shapely.box(*np.array(corners).reshape(-1, 4).T)
        self._places = shapely.STRtree(np.asarray(boxes))
        self._classes = [
            (numbers, Tears([self._drafts.traced[n] for n in numbers]))
            for numbers in _numbers_by_class(self._parts)
        ]
        self._areas = [int(np.count_nonzero(p.pixels)) for p in self._parts]
        self._over_budget = np.zeros(len(self._parts), dtype=np.bool_)
        self._kept_anew: set[int] = set()
        self._leaps: dict[int, int] = {}
        """Levels that arcs of parts far below their limits go to at once."""

    def exact(self) -> tuple[Outline, ...]:
        self._levels[:] = [_EXACT] * len(self._fitters)
        place(zip(self._fitters, self._levels, strict=True))
        return self.outlines()

    def outlines(self) -> tuple[Outline, ...]:
        return tuple(self._drafts.outline(number) for number in range(len(self._parts)))

    def begin(self) -> None:
        """Finds levels to begin with.

        Levels only become finer from here on: a part with too many vertices now has too many later.
        """
        every = range(len(self._parts))
        for ladder in range(N_AREA_LADDERS):
            solve(self._fitters, ladder)
        first = [self._first_level(n, self._how.iou_target) for n in every]
        self._begin_at(enumerate(first))
        solve_at(zip(self._fitters, self._levels, strict=True))
        over = [n for n in every if self._n_edges(n) > self._how.vertex_budget]
        if over:
            self._over_budget[over] = True
            self._levels[:] = [0] * len(self._fitters)
            self._begin_at((n, level) for n, level in enumerate(first) if not self._over_budget[n])
            self._begin_at((n, self._first_over_budget(n)) for n in over)

    def settle(self) -> None:
        """Refines arcs until nothing is wrong."""
        place(zip(self._fitters, self._levels, strict=True))
        self._drafts.draw(range(len(self._parts)))
        waiting = set(range(len(self._parts)))
        while True:
            while waiting:
                self._measure(waiting)
                waiting = self._refine({arc for n in waiting for arc in self._failing_arcs(n)})
            for find_faults in (self._tangled, self._torn):
                self._kept_anew.clear()
                waiting = self._refine(find_faults()) | self._kept_anew
                if waiting:
                    break
            else:
                return

    def _measure(self, numbers: Iterable[int]) -> None:
        """Measures the arcs of parts that keep enough pixels, all at once."""
        held = (n for n in numbers if not self._over_budget[n])
        held = (n for n in held if self._drafts.outline(n).iou >= self._limit)
        arcs = {
            arc for n in held for arc in self._arcs_of[n] if len(self._drafts.vertices(arc)) > 0
        }
        measure((self._fitters[arc], self._levels[arc]) for arc in arcs)

    def keep_to_budget(self) -> None:
        """Draws parts with too many vertices again, down to the floor."""
        over = [
            n
            for n in range(len(self._parts))
            if not self._over_budget[n]
            and self._drafts.outline(n).polygon.n_vertices > self._how.vertex_budget
        ]
        if not over:
            return
        self._over_budget[over] = True
        for number in over:
            for arc in self._arcs_of[number]:
                self._levels[arc] = 0
                self._drafts.forget(arc)
        self._begin_at((n, self._first_over_budget(n)) for n in over)
        self.settle()

    def _n_edges(self, number: int, level: int | None = None) -> int:
        """Edges of a part at the arcs' levels, or at one level."""
        arcs = (arc for ring in self._parts[number].rings for arc, _ in ring)
        return sum(
            self._fitters[arc].n_edges(self._levels[arc] if level is None else level)
            for arc in arcs
        )

    def _first_level(self, number: int, iou: float) -> int:
        """The level whose moved area is about what an overlap allows."""
        arcs = self._arcs_of[number]
        allowed = (1 - iou) * self._areas[number]
        allowed += _FREE_PX * sum(len(self._fitters[arc]) for arc in arcs)
        moved = np.sum([self._fitters[arc].areas_px2() for arc in arcs], axis=0)
        return int(np.flatnonzero(moved <= allowed)[0])

    def _first_over_budget(self, number: int) -> int:
        """The finest level within the budget, if any is; not beyond what the floor allows."""
        level = self._first_level(number, 1 - _UNDERSHOOT * (1 - self._how.iou_floor))
        coarser = range(min(level, N_AREA_LEVELS - 1), -1, -1)
        budget = self._how.vertex_budget
        return next((k for k in coarser if self._n_edges(number, k) <= budget), level)

    def _begin_at(self, levels: Iterable[tuple[int, int]]) -> None:
        """Takes the arcs of parts to a level each at least."""
        for number, level in levels:
            for arc in self._arcs_of[number]:
                self._levels[arc] = max(self._levels[arc], level)

    def _refine(self, arcs: set[int]) -> set[int]:
        """Takes arcs to the next level; returns the parts to look at again."""
        changed: set[int] = set()
        able = [arc for arc in arcs if self._levels[arc] < _EXACT]
        finer = next_levels([(self._fitters[arc], self._levels[arc]) for arc in able])
        for arc, level in zip(able, finer, strict=True):
            self._levels[arc] = max(level, self._leaps.pop(arc, 0))
            changed.update(self._owners[arc])
            self._drafts.forget(arc)
        place((self._fitters[arc], self._levels[arc]) for arc in able)
        self._drafts.draw(changed)
        return changed

    def _failing_arcs(self, number: int) -> list[int]:
        """The arcs of a part to make finer, none if the part holds its limits."""
        arcs = self._arcs_of[number]
        empty = [arc for arc in arcs if len(self._drafts.vertices(arc)) == 0]
        if empty:
            return empty
        iou = self._drafts.outline(number).iou
        if self._over_budget[number]:
            limit = self._how.iou_floor
            return (
                self._failing_holes(number) if iou >= limit else self._too_coarse(arcs, iou, limit)
            )
        if iou < self._limit:
            return self._too_coarse(arcs, iou, self._limit)
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
        for arcs, iou in self._drafts.hole_overlaps(number):
            if iou < self._how.iou_floor:
                failing.update(self._coarsest(arcs))
        return [arc for arc in failing if self._levels[arc] < _EXACT]

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
        vertices = [self._drafts.vertices(arc) for arc in range(len(self._fitters))]
        lines = lines_of(vertices, self._drafts.is_closed)
        tangled = set()
        for arc, common in own_crossings(lines):
            if not self._keep_near([arc], common):
                tangled.add(arc)
        for pair, common in crossings(lines):
            if not self._keep_near(pair, common):
                # The shorter one first: its few points are the cheaper way out.
                able = [arc for arc in pair if self._levels[arc] < _EXACT]
                tangled.add(min(able or pair, key=lambda arc: len(self._fitters[arc])))
        return tangled

    def _keep(self, arcs: Collection[int], boxes: Sequence[Box]) -> bool:
        """Makes arcs follow their traces within boxes; whether that changed any."""
        if len(boxes) == 0:
            return False
        low, high = (np.array(corners) for corners in zip(*boxes, strict=True))
        near = self._places.query(shapely.box(*low.T, *high.T)).T.tolist()
        changed = {
            arc
            for box, arc in near
            if arc in arcs
            and self._levels[arc] < _EXACT
            and self._fitters[arc].keep(low[box], high[box])
        }
        for arc in changed:
            self._drafts.forget(arc)
            self._kept_anew.update(self._owners[arc])
        return bool(changed)

    def _keep_near(self, arcs: Sequence[int], points: Ring) -> bool:
        """Makes arcs follow their traces near points; whether that changed any."""
        reach = _REACHES_PX[0]
        return self._keep(arcs, [(xy - reach, xy + reach) for xy in points])

    def _torn(self) -> set[int]:
        """Arcs of parts that fell apart, grew together, or lost or gained a hole, in pixels."""
        torn: set[int] = set()
        for numbers, tears in self._classes:
            if not self._mended(numbers, tears):
                torn.update(arc for n in numbers for arc in self._arcs_of[n])
        return {arc for arc in torn if self._levels[arc] < _EXACT}

    def _mended(self, numbers: Sequence[int], tears: Tears) -> bool:
        """Makes arcs follow their traces where a class is torn; whether that is enough."""
        arcs = {arc for n in numbers for arc in self._arcs_of[n]}
        while True:
            self._drafts.draw(numbers)
            found = tears.found([self._drafts.pixels(n) for n in numbers])
            if found is None:
                return True
            # The edge that is at fault may belong to a trace a little way off.
            for reach in _REACHES_PX:
                if self._keep(arcs, [(low - reach, high + reach) for low, high in found]):
                    break
            else:
                return False


def _numbers_by_class(parts: Sequence[Part]) -> Iterator[list[int]]:
    for class_index in sorted({part.class_index for part in parts}):
        yield [n for n, part in enumerate(parts) if part.class_index == class_index]
