"""Where the corners of polylines go: to where their edges fit the traced points best.

All vertices move at once, by Gauss-Newton on the distances across the edges. They need not lie on
the trace, so edges cross a curve instead of cutting it short on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import solve_banded

from converters.outlines.edge_breaks import Floats, Ints, running_sums
from domain.geometry import Ring

_REASSIGN_PX = 16
"""A vertex is taken to another traced point at most so far along."""

_ROUNDS = 3
_RIDGE = 1e-2
"""Keeps a vertex on a straight line from sliding along it; in points."""

_PIN = 1e12

_REACH = 5
"""Rows off the diagonal: a vertex's two coordinates and those up to two places away."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A traced arc, (n, 2) points, and the rising indices of those where its edges meet.

    A closed one's start stands again, as index n, at the end of ``breaks``.
    """

    points: Ring
    breaks: Ints
    is_closed: bool


def placed(chains: Sequence[Chain]) -> list[tuple[Ring, Ints]]:
    """Moves vertices to where the edges fit the points best; both ends of an open arc stay.

    The arcs are solved together, which costs hardly more than one of them, but each for itself.

    Args:
        chains: with at least 3 edges each if closed, 2 if open.

    Returns:
        Per arc: (m, 2) vertices, and (m,) the index of the point that each is near to.
    """
    links = _Links(chains)
    vertices = links.points[links.near]
    fixed, near = vertices[links.is_pinned], links.near
    for _ in range(_ROUNDS):
        vertices = vertices + _step(links, vertices, near)
        vertices[links.is_pinned] = fixed
        near = links.in_order(_nearest_indices(links, vertices, near))
    return links.split(vertices, near)


class _Links:
    """Arcs one after the other, and the edges between their vertices."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        lengths = np.array([len(c.points) for c in chains])
        self._is_closed = np.array([c.is_closed for c in chains])
        points = np.concatenate([c.points for c in chains])
        since = _starts(lengths)
        # Around their middles: squares of large numbers would cost digits. Whole numbers, so that
        # half ones remain and all sums are exact.
        self._middles = np.round(np.add.reduceat(points, since) / lengths[:, np.newaxis])
        points = points - np.repeat(self._middles, lengths, axis=0)
        # A ring stands thrice, so that its start may move as well.
        repeated = lengths * np.where(self._is_closed, 3, 1)
        first = _starts(repeated)
        along = np.arange(repeated.sum()) - np.repeat(first, repeated)
        source = np.repeat(since, repeated) + along % np.repeat(lengths, repeated)
        self.points = np.take(points, source, axis=0)
        self.sums = running_sums(self.points)

        counts = np.array([len(c.breaks) - c.is_closed for c in chains])
        arc = np.repeat(np.arange(len(chains)), counts)
        self._counts, self._lengths = counts, lengths
        self._base = first + np.where(self._is_closed, lengths, 0)
        breaks = np.concatenate([c.breaks[:-1] if c.is_closed else c.breaks for c in chains])
        self.near = breaks + self._base[arc]
        self.low = first[arc]
        self.high = (first + repeated - 1)[arc]
        self._arc, self._head = arc, _starts(counts)

        every = np.arange(len(arc))
        head, m, is_ring = self._head[arc], counts[arc], self._is_closed[arc]
        within = every - head
        is_last = within == m - 1
        self.is_pinned = ~is_ring & ((within == 0) | is_last)
        has_edge = is_ring | ~is_last
        self.first = every[has_edge]
        self.second = np.where(is_last, head, every + 1)[has_edge]
        self.lap = np.where(is_last, lengths[arc], 0)[has_edge]
        # A ring folded flat (0, m - 1, 1, m - 2, ...) has neighbours at most two places apart.
        folded = np.minimum(2 * within, 2 * (m - within) - 1)
        self.place = head + np.where(is_ring, folded, within)

    def in_order(self, near: Ints) -> Ints:
        """Indices that never fall along an arc; a ring ends where it starts, at the latest."""
        near = np.where(self.is_pinned, self.near, near)
        near = np.maximum.accumulate(near)
        end = (near[self._head] + self._lengths)[self._arc]
        return np.where(self._is_closed[self._arc], np.minimum(near, end), near)

    def split(self, vertices: Floats, near: Ints) -> list[tuple[Ring, Ints]]:
        """Each arc's vertices, and the indices of the points that they are near to."""
        vertices = vertices + self._middles[self._arc]
        near = (near - self._base[self._arc]) % self._lengths[self._arc]
        stops = np.append(self._head, len(near)).tolist()
        return [(vertices[a:b], near[a:b]) for a, b in pairwise(stops)]


def _starts(counts: Ints) -> Ints:
    return np.asarray(np.cumsum(counts) - counts)


def _nearest_indices(links: _Links, vertices: Floats, around: Ints) -> Ints:
    """The index of the point nearest to each vertex, at most ``_REASSIGN_PX`` from a given one."""
    indices = around + np.arange(-_REASSIGN_PX, _REASSIGN_PX + 1)[:, np.newaxis]
    indices = np.clip(indices, links.low, links.high)
    x, y = np.ascontiguousarray(links.points.T)
    away = (x[indices] - vertices[:, 0]) ** 2 + (y[indices] - vertices[:, 1]) ** 2
    return np.asarray(indices[away.argmin(axis=0), np.arange(len(vertices))])


def _step(links: _Links, vertices: Floats, near: Ints) -> Floats:
    """(m, 2): one Gauss-Newton step of the m vertices.

    A point at share t along its edge sees the edge move by (1 - t) times the start's move and t
    times the end's. The sums over points follow from running sums, so the cost does not depend on
    the number of points.
    """
    first, second = links.first, links.second
    since, until = near[first], near[second] + links.lap
    start, end = vertices[first], vertices[second]
    sums = links.sums
    x, y, xx, yy, xy = np.take(sums, until + 1, axis=1) - np.take(sums, since, axis=1)
    n = (until - since + 1).astype(np.float64)
    ax, ay = start.T
    ux, uy = (end - start).T
    length = np.maximum(np.hypot(ux, uy), 1e-9)
    ux, uy = ux / length, uy / length
    # Moments around the start of each edge.
    xx, yy = xx - 2 * ax * x + n * ax * ax, yy - 2 * ay * y + n * ay * ay
    xy = xy - ax * y - ay * x + n * ax * ay
    x, y = x - n * ax, y - n * ay
    t = (x * ux + y * uy) / length
    tt = (ux * ux * xx + 2 * ux * uy * xy + uy * uy * yy) / length**2
    d = y * ux - x * uy
    td = (ux * uy * (yy - xx) + (ux * ux - uy * uy) * xy) / length
    across = np.stack([-uy, ux])
    right = np.zeros((2, len(vertices)))
    right[:, first] += (d - td) * across
    right[:, second] += td * across
    blocks = across[:, np.newaxis] * across
    diagonal = np.zeros((2, 2, len(vertices)))
    diagonal[:, :, first] += (n - 2 * t + tt) * blocks
    diagonal[:, :, second] += tt * blocks
    diagonal[[0, 1], [0, 1]] += np.where(links.is_pinned, _PIN, _RIDGE)
    return _solved(links, diagonal, (t - tt) * blocks, right)


def _solved(links: _Links, diagonal: Floats, beside: Floats, right: Floats) -> Floats:
    """(m, 2): solves for moves of the m vertices, each bound to those beside it.

    Args:
        links: the arcs.
        diagonal: (2, 2, m) symmetric blocks.
        beside: (2, 2, edges) symmetric blocks, between the two vertices of each edge.
        right: (2, m).
    """
    place = links.place
    first, second = place[links.first], place[links.second]
    banded = np.zeros((2 * _REACH + 1, 2 * len(place)))
    ordered = np.zeros(2 * len(place))
    for i in range(2):
        ordered[2 * place + i] = right[i]
        for j in range(2):
            banded[_REACH + i - j, 2 * place + j] = diagonal[i, j]
            banded[_REACH + 2 * (first - second) + i - j, 2 * second + j] = beside[i, j]
            banded[_REACH + 2 * (second - first) + i - j, 2 * first + j] = beside[i, j]
    moves = solve_banded((_REACH, _REACH), banded, ordered, check_finite=False)
    return np.asarray(moves.reshape(-1, 2)[place])
