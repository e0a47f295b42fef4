"""What the parts of a label map look like at given levels of fineness of their arcs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from converters.outlines.arc_fitting import N_LEVELS, ArcFitter
from converters.outlines.arcs import Borders
from converters.outlines.drawing import NO_PIXELS, Patch, inside_of, overlap, painted
from domain.geometry import Polygon, Ring

_EXACT = N_LEVELS - 1
_MIN_RING = 3


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A part's polygon and how much of the part's pixels it keeps (0..1)."""

    polygon: Polygon
    iou: float


@dataclass(frozen=True, slots=True, eq=False)
class _DrawnRing:
    points: Ring
    patch: Patch


class Drafts:
    """Outlines of all parts, drawn when first asked for, and again where an arc has changed.

    ``fitters`` and ``levels`` are those of the arcs; ``arcs_of`` holds each part's arcs,
    ``owners`` each arc's parts, ``traced`` each part's exact pixels.
    """

    def __init__(self, borders: Borders) -> None:
        self.fitters = [
            ArcFitter(a.points, is_closed=a.is_closed, size_hw=borders.size_hw)
            for a in borders.arcs
        ]
        self.levels = [0] * len(self.fitters)
        self.is_closed = [a.is_closed for a in borders.arcs]
        self._parts = borders.parts
        self.traced = [Patch(p.window[0].start, p.window[1].start, p.pixels) for p in self._parts]
        self.arcs_of = [sorted({i for ring in p.rings for i, _ in ring}) for p in borders.parts]
        self.owners: list[list[int]] = [[] for _ in borders.arcs]
        for number, arcs in enumerate(self.arcs_of):
            for arc in arcs:
                self.owners[arc].append(number)
        self._rings_of: list[list[tuple[int, int]]] = [[] for _ in borders.arcs]
        """Of each arc: the (part, ring) pairs that it belongs to."""
        self._own_holes: list[list[tuple[int, int]]] = [[] for _ in borders.parts]
        """Of each part: the pairs of its holes that no other part fills."""
        for number, part in enumerate(self._parts):
            for position, ring in enumerate(part.rings):
                for arc, _ in ring:
                    self._rings_of[arc].append((number, position))
                if position > 0 and all(len(self.owners[arc]) == 1 for arc, _ in ring):
                    self._own_holes[number].append((number, position))
        self._outlines: dict[int, Outline] = {}
        self._drawn: dict[int, Patch] = {}
        self._rings: dict[tuple[int, int], _DrawnRing] = {}
        """What is drawn of each (part, ring); gone when one of its arcs changes."""
        self._holes: dict[tuple[int, int], Patch] = {}
        """The exact pixels of holes, by (part, ring)."""
        self._hole_ious: dict[tuple[int, int], float] = {}

    def forget(self, arc: int) -> None:
        """Forgets what was drawn with an arc that changes."""
        for number, position in self._rings_of[arc]:
            self._outlines.pop(number, None)
            self._rings.pop((number, position), None)
            self._hole_ious.pop((number, position), None)

    def draw(self, numbers: Iterable[int]) -> None:
        """Draws parts as far as they are not drawn yet, all at once."""
        missing = [
            (number, position)
            for number in numbers
            for position in range(len(self._parts[number].rings))
            if (number, position) not in self._rings
        ]
        rings = [self._ring(*key) for key in missing]
        for key, points, patch in zip(missing, rings, painted(rings), strict=True):
            self._rings[key] = _DrawnRing(points, patch)

    def vertices(self, arc: int) -> Ring:
        """An arc's (n, 2) vertices at its level."""
        return self.fitters[arc].vertices(self.levels[arc])

    def outline(self, number: int) -> Outline:
        """A part's outline at its arcs' levels; of overlap 0 where a ring has no area."""
        if number not in self._outlines:
            self._outlines[number] = self._outlined(number)
        return self._outlines[number]

    def pixels(self, number: int) -> Patch:
        """The pixels in a part's outline."""
        self.outline(number)
        return self._drawn[number]

    def hole_overlaps(self, number: int) -> Iterator[tuple[list[int], float]]:
        """The arcs around each hole of a part that no other part fills, and how much it keeps."""
        own = self._own_holes[number]
        self.draw([number])
        unknown = [key for key in own if key not in self._holes]
        exact = painted([self._ring(*key, as_traced=True) for key in unknown])
        self._holes.update(zip(unknown, exact, strict=True))
        for key in own:
            if key not in self._hole_ious:
                self._hole_ious[key] = overlap(self._holes[key], self._rings[key].patch)
            yield [arc for arc, _ in self._parts[number].rings[key[1]]], self._hole_ious[key]

    def _outlined(self, number: int) -> Outline:
        every = range(len(self._parts[number].rings))
        if all(self.levels[arc] == _EXACT for arc in self.arcs_of[number]):
            exterior, *holes = (self._ring(number, position) for position in every)
            self._drawn[number] = self.traced[number]
            return Outline(Polygon(exterior, tuple(holes)), 1.0)
        self.draw([number])
        rings = [self._rings[number, position] for position in every]
        polygon = Polygon(rings[0].points, tuple(ring.points for ring in rings[1:]))
        if any(len(ring) < _MIN_RING for ring in polygon.rings):
            self._drawn[number] = NO_PIXELS
            return Outline(polygon, 0.0)
        self._drawn[number] = inside_of([ring.patch for ring in rings])
        return Outline(polygon, overlap(self._drawn[number], self.traced[number]))

    def _ring(self, number: int, position: int, *, as_traced: bool = False) -> Ring:
        pieces = []
        for arc, forwards in self._parts[number].rings[position]:
            points = self.fitters[arc].points if as_traced else self.vertices(arc)
            points = points if forwards else points[::-1]
            pieces.append(points if self.is_closed[arc] else points[:-1])
        return np.concatenate(pieces)
