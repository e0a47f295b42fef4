"""Few straight edges through a traced arc, their corners placed freely, level by level.

First ``edge_breaks`` finds which stretches become one edge each, then ``corner_places`` moves the
corners. Arcs are many and mostly short, so each step takes all of them that need it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely

from converters.outlines.corner_places import Chain, placed
from converters.outlines.edge_breaks import Edges, Floats, Ints, Ladder, cheapest_edges
from domain.geometry import PIXEL_DECIMALS, Ring

_PRICES_PX2 = tuple((300 * 0.625 ** np.arange(17)).tolist())
_COARSE = Ladder(_PRICES_PX2[:8], 0.04, 64, 16)
_MEDIUM = Ladder(_PRICES_PX2[8:], 0.04, 64, 4)
"""For long borders with many details."""
_COARSE_AND_MEDIUM = Ladder(_PRICES_PX2, 0.04, 64, 1)
_FINE = Ladder((0.5, 0.35, 0.25, 0.17, 0.12), 0.01, 96, 1)
"""For shapes whose very steps count, a few pixels wide."""

N_AREA_LADDERS = 2
"""Ladders, from the coarsest, whose edges ``areas_px2`` needs."""

_LADDERS = (_COARSE, _MEDIUM, _FINE)
_LADDER_OF = tuple(
    (number, step)
    for number, ladder in enumerate(_LADDERS)
    for step in range(len(ladder.prices_px2))
)
"""Of each level: its ladder, and which price of it."""

N_AREA_LEVELS = len(_PRICES_PX2)
"""Levels of those ladders."""

N_LEVELS = len(_LADDER_OF) + 1
"""Levels of fineness: one per price; the last is the trace itself."""

_MIN_CLOSED = 3

_NONE: Ints = np.zeros(0, dtype=np.intp)


class ArcFitter:
    """The polylines of one arc at every level, each computed when first asked for."""

    def __init__(self, points: Ring, *, is_closed: bool, size_hw: tuple[int, int]) -> None:
        """Takes (n, 2) points in pixels; a closed arc's start is not repeated.

        Vertices lie within the image of ``size_hw`` and are rounded as Label Studio's percent
        need it, so that they come back as they went.
        """
        self._limit_xy = np.array([size_hw[1], size_hw[0]], dtype=np.float64)
        self._is_closed = is_closed
        self.points = points
        self._is_kept = np.zeros(len(points), dtype=np.bool_)
        self._placed: dict[int, tuple[Ring, Ints]] = {}
        self._found: dict[int, tuple[Ring, Ints]] = {}
        self._distances: dict[int, float] = {}
        self._solutions: dict[int, Edges] = {}

    def vertices(self, level: int) -> Ring:
        """(n, 2) vertices at a level, the ends of an open arc included.

        Level 0 is the coarsest, ``N_LEVELS - 1`` the trace itself. Empty where a closed arc would
        have fewer than 3.
        """
        if level not in self._found:
            self._found[level] = self._fitted(level)
        return self._found[level][0]

    def keep(self, low_xy: Floats, high_xy: Floats) -> bool:
        """Follows the trace within a box from now on; whether that is new for any point."""
        inside = ((self.points >= low_xy) & (self.points <= high_xy)).all(axis=1)
        is_new = bool((inside & ~self._is_kept).any())
        if is_new:
            self._is_kept |= inside
            self._found.clear()
            self._distances.clear()
        return is_new

    def __len__(self) -> int:
        """Traced points."""
        return len(self.points)

    def next_level(self, level: int) -> int:
        """The next finer level with more vertices."""
        count = self.n_edges(level)
        finer = range(level + 1, N_LEVELS - 1)
        return next((k for k in finer if self.n_edges(k) > count), N_LEVELS - 1)

    def n_edges(self, level: int) -> int:
        """Edges at a coarser level, before any stretch is kept as traced."""
        ladder, step = _LADDER_OF[level]
        return self._solved(ladder).counts[step]

    def areas_px2(self) -> Floats:
        """(n,) the area in square pixels by which each level moves the arc, about.

        Of the coarser levels only; 0 for the first of those for details.
        """
        areas = [self._solved(ladder).areas_px2 for ladder in range(N_AREA_LADDERS)]
        return np.concatenate([*areas, [0.0]])

    def distance_px(self, level: int) -> float:
        """The largest distance between a traced point and its edge or one beside it."""
        if level >= N_LEVELS - 1:
            return 0.0
        if level not in self._distances:
            measure([(self, level)])
        return self._distances[level]

    def _fit(self, level: int) -> _Fit:
        vertices = self.vertices(level)
        return _Fit(self.points, vertices, self._found[level][1], self._is_closed)

    def _looped(self) -> Ring:
        """The points, a closed arc's first one repeated."""
        return np.concatenate([self.points, self.points[:1]]) if self._is_closed else self.points

    def _fitted(self, level: int) -> tuple[Ring, Ints]:
        """The vertices, and the index of the traced point that each is near to."""
        if level not in self._placed:
            place([(self, level)])
        vertices, breaks = self._placed[level]
        if len(breaks) == 0 or not self._is_kept.any():
            return vertices, breaks
        # Fitted vertices give way to the traced points of the stretches that are kept.
        fitted = ~self._is_kept[breaks]
        fitted[[0, -1]] |= not self._is_closed
        kept = np.flatnonzero(self._is_kept)
        kept = kept[~np.isin(kept, breaks[fitted])]
        near = np.concatenate([breaks[fitted], kept])
        order = np.argsort(near, kind="stable")
        return np.concatenate([vertices[fitted], self.points[kept]])[order], near[order]

    def _may_go_on(self, level: int, ladder: int) -> bool:
        """Whether the levels before a ladder leave it open which is the next one."""
        own, _ = _LADDER_OF[level]
        if ladder <= own:
            return ladder == own
        count = self.n_edges(level)
        between = range(level + 1, _LADDER_OF.index((ladder, 0)))
        return all(self.n_edges(k) <= count for k in between)

    def _solved(self, ladder: int) -> Edges:
        if ladder not in self._solutions:
            solve([self], ladder)
        return self._solutions[ladder]


def solve(fitters: Iterable[ArcFitter], ladder: int) -> None:
    """Finds the edges of arcs at all levels of a ladder, of those that have none yet."""
    waiting = [f for f in fitters if ladder not in f._solutions]
    if ladder < N_AREA_LADDERS:
        # Where every point is a candidate on both, one solution holds both.
        short = [f for f in waiting if len(f) < _COARSE.n_candidates]
        waiting = [f for f in waiting if len(f) >= _COARSE.n_candidates]
        both = cheapest_edges([f._looped() for f in short], _COARSE_AND_MEDIUM)
        for fitter, edges in zip(short, both, strict=True):
            fitter._solutions[0], fitter._solutions[1] = edges.cut(len(_COARSE.prices_px2))
    found = cheapest_edges([f._looped() for f in waiting], _LADDERS[ladder])
    for fitter, edges in zip(waiting, found, strict=True):
        fitter._solutions[ladder] = edges


def solve_at(chosen: Iterable[tuple[ArcFitter, int]]) -> None:
    """Finds the edges of arcs at a level each."""
    own: list[list[ArcFitter]] = [[] for _ in _LADDERS]
    for fitter, level in chosen:
        if level < N_LEVELS - 1:
            own[_LADDER_OF[level][0]].append(fitter)
    for ladder, fitters in enumerate(own):
        solve(fitters, ladder)


def next_levels(chosen: Sequence[tuple[ArcFitter, int]]) -> list[int]:
    """Of arcs at a level each, the next finer one with more vertices."""
    for ladder in range(len(_LADDERS)):
        solve((f for f, level in chosen if f._may_go_on(level, ladder)), ladder)
    return [f.next_level(level) for f, level in chosen]


def place(chosen: Iterable[tuple[ArcFitter, int]]) -> None:
    """Finds the vertices of arcs at a level each."""
    waiting = [(f, k) for f, k in chosen if k not in f._placed]
    exact = [f for f, k in waiting if k >= N_LEVELS - 1]
    for fitter, vertices in zip(exact, _traces(exact), strict=True):
        fitter._placed[N_LEVELS - 1] = vertices, _NONE
    waiting = [(f, k) for f, k in waiting if k < N_LEVELS - 1]
    solve_at(waiting)
    chains, moving = [], []
    for fitter, level in waiting:
        ladder, step = _LADDER_OF[level]
        breaks = fitter._solved(ladder).breaks(step)
        if fitter._is_closed and len(breaks) - 1 < _MIN_CLOSED:
            fitter._placed[level] = np.zeros((0, 2)), _NONE
        elif len(breaks) == 2:
            fitter._placed[level] = fitter.points[breaks], breaks
        else:
            chains.append(Chain(fitter.points, breaks, fitter._is_closed))
            moving.append((fitter, level))
    if not moving:
        return
    for (fitter, level), (vertices, near) in zip(moving, placed(chains), strict=True):
        inside = vertices.clip(0.0, fitter._limit_xy).round(PIXEL_DECIMALS)
        fitter._placed[level] = inside, near


def measure(chosen: Iterable[tuple[ArcFitter, int]]) -> None:
    """Finds the distances of arcs at a level each."""
    waiting = [(f, k) for f, k in chosen if k < N_LEVELS - 1 and k not in f._distances]
    fits = [f._fit(level) for f, level in waiting]
    for (fitter, level), distance in zip(waiting, _farthest_px(fits), strict=True):
        fitter._distances[level] = distance


def _traces(fitters: Sequence[ArcFitter]) -> list[Ring]:
    """The points without those inside straight edges."""
    if not fitters:
        return []
    numbers = np.repeat(np.arange(len(fitters)), [len(f.points) for f in fitters])
    points = np.concatenate([f.points for f in fitters])
    is_closed = np.array([f._is_closed for f in fitters])
    traces = []
    lines = np.empty(len(fitters), dtype=object)
    for closed, make in ((False, shapely.linestrings), (True, shapely.linearrings)):
        own = is_closed[numbers] == closed
        if own.any():
            _, indices = np.unique(numbers[own], return_inverse=True)
            lines[is_closed == closed] = make(points[own], indices=indices)
    kept, numbers = shapely.get_coordinates(shapely.simplify(lines, 0.0), return_index=True)
    stops = [0, *np.cumsum(np.bincount(numbers, minlength=len(fitters))).tolist()]
    for fitter, (first, last) in zip(fitters, pairwise(stops), strict=True):
        trace = kept[first:last]
        if fitter._is_closed:
            trace = trace[:-1]
            before, after = trace[0] - trace[-1], trace[1] - trace[0]
            on_line = before[0] * after[1] == before[1] * after[0] and len(trace) > _MIN_CLOSED
            trace = trace[1:] if on_line else trace
        traces.append(trace)
    return traces


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """(n, 2) traced points, (m, 2) vertices, and (m,) the point that each vertex is near to."""

    points: Ring
    vertices: Ring
    near: Ints
    is_closed: bool


def _farthest_px(fits: Sequence[_Fit]) -> list[float]:
    """Of each arc the largest distance of a point from its edge or one of the two beside it.

    Args:
        fits: with two vertices or more each; distances of many cost hardly more than of one.
    """
    if not fits:
        return []
    n_points = np.array([len(fit.points) for fit in fits])
    n_vertices = np.array([len(fit.vertices) for fit in fits])
    is_closed = np.array([fit.is_closed for fit in fits])
    points = np.concatenate([fit.points for fit in fits])
    starts = np.concatenate([fit.vertices for fit in fits])
    since = np.cumsum(n_points) - n_points
    head = np.cumsum(n_vertices) - n_vertices
    # One edge for each vertex, to the next one; the last of an open arc has none.
    following = np.arange(len(starts)) + 1
    following[head + n_vertices - 1] = np.where(is_closed, head, head + n_vertices - 1)
    spans = starts[following] - starts
    n_edges = n_vertices - ~is_closed

    near = np.concatenate([fit.near for fit in fits]) + np.repeat(since, n_vertices)
    # Vertices that wandered beyond the start of a ring come first or last in the running order.
    order = np.argsort(near, kind="stable")
    place = np.searchsorted(near[order], np.arange(len(points)), side="right") - 1
    head, n_edges = np.repeat(head, n_points), np.repeat(n_edges, n_points)
    is_ring = np.repeat(is_closed, n_points)
    before_all = place < head
    place = np.where(before_all, head + n_edges - 1, place)
    edge = np.minimum(order[place] - head, n_edges - 1)
    squared = np.full(len(points), np.inf)
    for step in (-1, 0, 1):
        beside = edge + step
        beside = head + np.where(is_ring, beside % n_edges, np.clip(beside, 0, n_edges - 1))
        span, away = spans[beside], points - starts[beside]
        length = np.maximum((span * span).sum(axis=1), 1e-18)
        rest = away - np.clip((away * span).sum(axis=1) / length, 0.0, 1.0)[:, np.newaxis] * span
        np.minimum(squared, (rest * rest).sum(axis=1), out=squared)
    found: Floats = np.sqrt(np.maximum.reduceat(squared, since))
    return [float(distance) for distance in found]
