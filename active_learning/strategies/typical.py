"""The cold start: the most typical image of each part of the pool that has no label yet."""

from __future__ import annotations

import numpy as np

from active_learning.strategies.distances import (
    Points,
    Squares,
    blocks,
    k_means,
    nearest,
    squared_distances,
)
from active_learning.strategies.embedded import has_embedding, labelled_points, without_same
from active_learning.strategies.order import filled, known_first
from active_learning.strategies.pool import Indices, Pool

_NEIGHBOURS = 20
_MOST_CLUSTERS = 500
_LEAST_MEMBERS = 5
"""As Hacohen et al. have them."""

_MOST_TASKS = 5_000
"""Of a larger pool a random part is looked at, or two tasks per place where that is more."""


def typical(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    """The most typical task of each of the largest clusters without a label.

    TypiClust of Hacohen, Dekel, Weinshall 2022, *Active Learning on a Budget: Opposite Strategies
    Suit High and Low Budgets*, arXiv:2202.02794: k-means with as many clusters as there will be
    labels (500 at most); those with the fewest labels come first, among them the largest; a task is
    typical that has a small mean distance to its 20 nearest neighbours in its cluster. Clusters of
    fewer than 5 tasks come last.

    Of a pool of more than 5,000 tasks a random part is looked at. An image that is there twice
    counts once, or its copies would make it typical. Tasks without embedding come last, at random.
    """

    def choose(rows: Indices, n: int) -> Indices:
        if pool.embeddings is None:
            raise ValueError("The pool has no embeddings.")
        points = pool.embeddings[rows].astype(np.float32, copy=False)
        order = rng.permutation(rows.size)
        different = np.sort(without_same(points, order, max(_MOST_TASKS, 2 * n)))
        chosen = different[_of_clusters(points[different], labelled_points(pool), n, rng)]
        return filled(chosen, order, n)

    return known_first(has_embedding(pool), k, rng, choose)


def atypicality(points: Points) -> Squares:
    """Mean distance of each point to its 20 nearest others, or to all where there are fewer.

    Args:
        points: (n, d).

    Returns:
        (n,) >= 0; 0 of a point that is alone.
    """
    n = len(points)
    neighbours = min(_NEIGHBOURS, n - 1)
    if neighbours < 1:
        return np.zeros(n, np.float32)
    mean = np.empty(n, np.float32)
    for block in blocks(n, n):
        squares = squared_distances(points[block], points)
        squares[np.arange(len(squares)), np.arange(n)[block]] = np.inf
        near = np.partition(squares, neighbours - 1, axis=1)[:, :neighbours]
        mean[block] = np.sqrt(near).mean(axis=1)
    return mean


def _of_clusters(points: Points, labelled: Points, k: int, rng: np.random.Generator) -> Indices:
    """At most k rows: one per cluster, the clusters in turns until all their members are taken."""
    k = min(k, len(points))
    n_clusters = min(len(labelled) + k, _MOST_CLUSTERS)
    centres = k_means(np.concatenate([points, labelled]), n_clusters, rng)
    cluster, _ = nearest(points, centres)
    taken = np.zeros(len(centres), np.intp)
    if len(labelled):
        taken += np.bincount(nearest(labelled, centres)[0], minlength=len(centres))
    waiting: dict[int, list[int]] = {}
    for number in np.unique(cluster).tolist():
        members = np.flatnonzero(cluster == number)
        by_type = members[np.argsort(atypicality(points[members]), kind="stable")]
        waiting[number] = by_type.tolist()[::-1]
    small = {number for number, members in waiting.items() if len(members) < _LEAST_MEMBERS}
    chosen: list[int] = []
    while len(chosen) < k:
        number = min(
            (number for number, members in waiting.items() if members),
            key=lambda number: (number in small, taken[number], -len(waiting[number]), number),
        )
        chosen.append(waiting[number].pop())
        taken[number] += 1
    return np.array(chosen, np.intp)
