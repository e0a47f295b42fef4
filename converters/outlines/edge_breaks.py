"""Which stretches of a traced arc become one straight edge each.

Dynamic programming over the price of a vertex (after Perez, Vidal 1994, "Optimum polygonal
approximation of digitized curves"); the cost of a stretch is the area between it and its best line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_MEAN_OF_RMS = 0.8
"""Mean distance over root mean square distance, for normal errors."""

_LIKE_SIZE = 1.4

_ENTRIES_AT_ONCE = 1 << 17
"""Pieces are solved in batches of so many costs: a few MB, whatever the arc."""

_STRIPE = 16
_COSTS_AT_ONCE = 1 << 14
"""So many are found at once: what they are found from then stays in the cache."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Levels that are solved together.

    ``prices_px2``: area in square pixels that one vertex must save, from coarse to fine.
    ``variance_px2``: how far traced points scatter around an edge that is as good as exact; a
    digital straight line scatters by 0 (along an axis or a diagonal) to 1/12. ``n_candidates``
    break points are considered per piece (the cost is quadratic in them), one every ``max_step``
    points or more often.
    """

    prices_px2: tuple[float, ...]
    variance_px2: float
    n_candidates: int
    max_step: int


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """An arc's edges at each price of a ladder, from coarse to fine.

    ``counts`` says how many, ``areas_px2`` (price,) the area in square pixels between them and the
    points; they end at those of ``candidates`` (piece, n), indices of points, that ``ends``
    (price, piece, n) marks.
    """

    counts: list[int]
    areas_px2: Floats
    candidates: Ints
    ends: npt.NDArray[np.bool_]

    def breaks(self, step: int) -> Ints:
        """Indices of the points where edges meet, first and last."""
        return np.append(0, self.candidates[self.ends[step]])

    def cut(self, step: int) -> tuple[Edges, Edges]:
        """Those at the prices before a step, and those from it on."""
        counts, areas, ends = self.counts, self.areas_px2, self.ends
        return (
            Edges(counts[:step], areas[:step], self.candidates, ends[:step]),
            Edges(counts[step:], areas[step:], self.candidates, ends[step:]),
        )


def running_sums(points: Floats) -> Floats:
    """(5, n + 1): sums of x, y, xx, yy, xy over the points before each index."""
    x, y = points.T
    sums = np.zeros((5, len(points) + 1))
    np.cumsum(np.stack([x, y, x * x, y * y, x * y]), axis=1, out=sums[:, 1:])
    return sums


def cheapest_edges(arcs: Sequence[Floats], ladder: Ladder) -> list[Edges]:
    """The cheapest edges from the first point of each arc to its last.

    The arcs are solved together, which costs hardly more than one of them, but each for itself.

    Args:
        arcs: (n, 2) points each, a ring's start repeated at its end.
        ladder: the prices.
    """
    if not arcs:
        return []
    lengths = np.array([len(points) for points in arcs])
    since = np.cumsum(lengths) - lengths
    points = np.concatenate(arcs)
    # Around their middles: squares of large numbers would cost digits. Whole numbers, so that half
    # ones remain and all sums are exact.
    middles = np.round(np.add.reduceat(points, since) / lengths[:, np.newaxis])
    sums = running_sums(points - np.repeat(middles, lengths, axis=0))
    # A long arc is cut into pieces, each solved for itself: the cost stays linear.
    n_pieces = -(-(lengths - 1) // (ladder.n_candidates * ladder.max_step))
    n_steps = np.minimum(-(-(lengths - 1) // n_pieces), ladder.n_candidates)
    found: dict[int, Edges] = {}
    for arc in _of_like_size(n_steps):
        # Pieces of the arcs, and the candidates of each, filled up with its last.
        own = np.repeat(arc, n_pieces[arc])
        head = np.cumsum(n_pieces[arc]) - n_pieces[arc]
        number = np.arange(len(own)) - np.repeat(head, n_pieces[arc])
        last = lengths[own] - 1
        low = np.rint(number * last / n_pieces[own])
        high = np.rint((number + 1) * last / n_pieces[own])
        step = np.arange(n_steps[arc].max() + 1).clip(max=n_steps[own][:, np.newaxis])
        share = step / n_steps[own][:, np.newaxis]
        candidates = np.rint(low[:, np.newaxis] + (high - low)[:, np.newaxis] * share)
        candidates = candidates.astype(np.intp)
        ends, areas = _cheapest_breaks(candidates + since[own][:, np.newaxis], sums, ladder)
        counts = np.add.reduceat(ends.sum(axis=2), head, axis=1).T.tolist()
        areas = np.add.reduceat(areas, head, axis=1).T
        stops = [*head.tolist(), len(own)]
        for k, index in enumerate(arc.tolist()):
            pieces = slice(stops[k], stops[k + 1])
            found[index] = Edges(counts[k], areas[k], candidates[pieces], ends[:, pieces])
    return [found[index] for index in range(len(arcs))]


def _of_like_size(sizes: Ints) -> Iterator[Ints]:
    """Indices of sizes, by groups whose largest is hardly larger than their smallest."""
    order = np.argsort(sizes, kind="stable")
    ordered = sizes[order]
    first = 0
    while first < len(order):
        last = int(np.searchsorted(ordered, _LIKE_SIZE * ordered[first], side="right"))
        yield order[first:last]
        first = last


def _cheapest_breaks(
    candidates: Ints, sums: Floats, ladder: Ladder
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """The cheapest edges of each piece from its first candidate to its last.

    Args:
        candidates: (piece, n) indices that never fall along a piece; one may stand there twice.
        sums: as ``running_sums`` gives them.
        ladder: the prices.

    Returns:
        (price, piece, n): whether an edge ends at a candidate; and (price, piece) the area in
        square pixels between the edges and the points.
    """
    at_once = max(1, _ENTRIES_AT_ONCE // candidates.shape[1] ** 2)
    found = [
        _cheapest(candidates[first : first + at_once], sums, ladder)
        for first in range(0, len(candidates), at_once)
    ]
    ends, areas = zip(*found, strict=True)
    return np.concatenate(ends, axis=1), np.concatenate(areas, axis=1)


def _cheapest(
    candidates: Ints, sums: Floats, ladder: Ladder
) -> tuple[npt.NDArray[np.bool_], Floats]:
    cost = _line_costs(candidates, sums, ladder.variance_px2)
    prices = np.array(ladder.prices_px2)[:, np.newaxis]
    n_pieces, n = candidates.shape
    shape = (len(prices), n_pieces)
    price, piece = np.ogrid[: shape[0], : shape[1]]
    total = np.zeros((*shape, n))
    before = np.zeros((n, *shape), dtype=np.intp)
    for j in range(1, n):
        to_j = total[..., :j] + cost[:, j, :j]
        before[j] = to_j.argmin(axis=2)
        total[..., j] = to_j[price, piece, before[j]] + prices
    ends = np.zeros((*shape, n), dtype=np.bool_)
    at = np.full(shape, n - 1)
    while at.any():
        ends[price, piece, at] = True
        at = before[at, price, piece]
    ends[..., 0] = False
    return ends, total[..., -1] - prices * ends.sum(axis=2)


def _line_costs(candidates: Ints, sums: Floats, variance_px2: float) -> Floats:
    """(piece, n, n): area in square pixels between points i..j and their best line, at [j, i].

    For i < j; what stands beyond means nothing.
    """
    n_pieces, n = candidates.shape
    costs = np.empty((n_pieces, n, n))
    # In stripes, most of what is beyond left out.
    at_once = max(1, _COSTS_AT_ONCE // (n * _STRIPE))
    for first in range(0, n_pieces, at_once):
        some = candidates[first : first + at_once]
        for low in range(0, n, _STRIPE):
            stripe, until = slice(low, low + _STRIPE), low + _STRIPE
            costs[first : first + at_once, stripe, :until] = _costs_between(
                some[:, :until], some[:, stripe], sums, variance_px2
            )
    return costs


def _costs_between(starts: Ints, stops: Ints, sums: Floats, variance_px2: float) -> Floats:
    """(piece, stop, start): area between the points from a start to a stop and their best line."""
    until, since = np.take(sums, stops + 1, axis=1), np.take(sums, starts, axis=1)
    x, y, xx, yy, xy = until[..., np.newaxis] - since[:, :, np.newaxis]
    n = (stops[..., np.newaxis] - starts[:, np.newaxis] + 1).astype(np.float64)
    # n times the sums of squares around the middle, in place: this is where the time goes.
    xx *= n
    xx -= x * x
    yy *= n
    yy -= y * y
    xy *= 2 * n
    xy -= 2 * x * y
    across: Floats = xx + yy
    xx -= yy
    xx *= xx
    xy *= xy
    xx += xy
    across -= np.sqrt(xx, out=xx)
    n *= n
    across -= 2 * variance_px2 * n
    np.maximum(across, 0.0, out=across)
    np.sqrt(across, out=across)
    across *= _MEAN_OF_RMS / np.sqrt(2)
    return across
