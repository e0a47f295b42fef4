"""Distances between embeddings, a block at a time, and k-means on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from active_learning.strategies.pool import Indices

Points: TypeAlias = npt.NDArray[np.float32]
"""(n, d)."""
Squares: TypeAlias = npt.NDArray[np.float32]
"""Squared distances."""

_BLOCK = 2**23
"""Distances held at once: 32 MB."""

_ROUNDING = 1e-6
"""Of a squared distance against the squared length."""

_ITERATIONS = 15
"""Of k-means at most; what is moved later moves little."""


def squared_distances(points: Points, others: Points) -> Squares:
    """(n, d) and (m, d) -> (n, m), never below 0; all at once."""
    squares: Squares = _squares(points)[:, np.newaxis] + _squares(others)[np.newaxis]
    squares -= 2.0 * (points @ others.T)
    np.maximum(squares, 0.0, out=squares)
    return squares


def nearest(points: Points, others: Points) -> tuple[Indices, Squares]:
    """Of each of n points, which of m >= 1 others is nearest, and its squared distance."""
    index = np.empty(len(points), np.intp)
    squares = np.empty(len(points), np.float32)
    for block in blocks(len(points), len(others)):
        found = squared_distances(points[block], others)
        index[block] = found.argmin(axis=1)
        squares[block] = np.take_along_axis(found, index[block, np.newaxis], axis=1)[:, 0]
    return index, squares


def blocks(n: int, m: int) -> Iterator[slice]:
    """Slices of n rows of which each has m distances, few enough for the memory."""
    step = max(1, _BLOCK // max(m, 1))
    return (slice(start, start + step) for start in range(0, n, step))


def k_means(
    points: Points, k: int, rng: np.random.Generator, weights: Squares | None = None
) -> Points:
    """Centres of k clusters by Lloyd's algorithm.

    It starts from k-means++ (Arthur, Vassilvitskii 2007, with several draws for each centre as
    they propose) and ends when no point changes its cluster, or after 15 rounds.

    Args:
        points: (n, d), n >= 1.
        k: At least 1.
        rng: Draws the first centres.
        weights: (n,) > 0, how much each point counts; None = alike.

    Returns:
        (c, d) with c <= k: fewer where fewer than k points differ.
    """
    mass = np.ones(len(points), np.float32) if weights is None else weights
    centres = _first_centres(points, k, rng, mass)
    before = None
    for _ in range(_ITERATIONS):
        labels, _ = nearest(points, centres)
        if before is not None and np.array_equal(labels, before):
            break
        before = labels
        # Sorted by cluster, each one is a run, and runs are summed at once.
        order = np.argsort(labels, kind="stable")
        used, starts = np.unique(labels[order], return_index=True)
        sums = np.add.reduceat((points * mass[:, np.newaxis])[order], starts, axis=0)
        centres[used] = sums / np.add.reduceat(mass[order], starts)[:, np.newaxis]
    return centres


def _first_centres(points: Points, k: int, rng: np.random.Generator, mass: Squares) -> Points:
    """k-means++, each time with the best of a few draws, so that no clump is begun with twice."""
    squares = np.full(len(points), np.inf, np.float32)
    own = _squares(points)
    chance = mass.astype(np.float64)
    n_tries = 2 + int(np.log(k))
    chosen: list[int] = []
    for _ in range(min(k, len(points))):
        total = np.cumsum(chance)
        if total[-1] <= 0:
            break
        drawn = np.searchsorted(total, rng.random(n_tries) * total[-1], side="right")
        tries = np.unique(np.minimum(drawn, len(points) - 1))
        now = np.minimum(squares, squared_distances(points[tries], points))
        # What rounding leaves of no distance is no reason to choose an equal point.
        now[now <= _ROUNDING * own] = 0.0
        best = int((now @ mass).argmin())
        chosen.append(int(tries[best]))
        squares = now[best]
        chance = squares.astype(np.float64) * mass
    return points[chosen].copy()


def _squares(points: Points) -> Squares:
    squares: Squares = np.einsum("nd,nd->n", points, points)
    return squares
