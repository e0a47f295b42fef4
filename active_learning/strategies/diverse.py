"""Batches that cover the pool: k-means weighted by need, and k centres (core-set)."""

from __future__ import annotations

import numpy as np

from active_learning.strategies.distances import Points, Squares, blocks, k_means, nearest
from active_learning.strategies.embedded import has_embedding, labelled_points, without_same
from active_learning.strategies.order import Values, filled, highest_first, known_first
from active_learning.strategies.pool import Indices, Pool
from active_learning.strategies.scores import low_quality

_PER_PLACE = 10
"""Tasks most in need of a label, per place in the batch, that k-means looks at: beta of Zhdanov."""

_MOST_CANDIDATES = 5_000
"""Or twice the batch, where that is more."""

_LEAST_WEIGHT = 1e-3
"""Of a task that needs no label: it still counts a little."""


def diverse(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    """One task of each of k groups among those most in need of a label: weighted k-means.

    Zhdanov 2019, *Diverse mini-batch Active Learning*, arXiv:1901.05954: of the 10 k tasks with the
    lowest expected quality (5,000 at most), k-means with weight 1 - quality finds k groups; the
    task nearest to each centre is taken. A task whose quality is unknown weighs as the mean of the
    others; where none is known, a random part of the pool is grouped, all tasks alike.

    An image that is there twice counts once. Tasks without embedding come last, at random.
    """

    def choose(rows: Indices, n: int) -> Indices:
        points = _points(pool, rows)
        need = _need(pool, rows)
        # Ties at random: a run of equal tasks is often one patient, or one film.
        shuffled = rng.permutation(rows.size)
        order = shuffled[highest_first(need[shuffled])]
        is_cold = bool((need == need[0]).all())
        wanted = _MOST_CANDIDATES if is_cold else min(_PER_PLACE * n, _MOST_CANDIDATES)
        candidates = without_same(points, order, max(wanted, 2 * n))
        centres = k_means(points[candidates], n, rng, need[candidates].astype(np.float32))
        label, squares = nearest(points[candidates], centres)
        chosen = candidates[_first_of_each(label, squares)]
        return filled(filled(chosen, candidates, n), order, n)

    return known_first(has_embedding(pool), k, rng, choose)


def core_set(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    """Again and again the task that is farthest from all that is labelled or chosen.

    The greedy k-centre of Sener, Savarese 2018, *Active Learning for Convolutional Neural Networks:
    A Core-Set Approach*, arXiv:1708.00489. Nothing labelled: the task nearest to the pool's mean is
    the first. No chance is in it. Tasks without embedding come last, at random.
    """
    return known_first(
        has_embedding(pool),
        k,
        rng,
        lambda rows, n: k_centres(_points(pool, rows), labelled_points(pool), n),
    )


def k_centres(points: Points, covered: Points, k: int) -> Indices:
    """Greedy k-centre: each choice is the point with the largest distance to its nearest centre.

    Args:
        points: (n, d).
        covered: (m, d), centres that are there already.
        k: At most n.

    Returns:
        (k,) rows in the order chosen; among equals the lower one.
    """
    own = np.einsum("nd,nd->n", points, points)
    chosen: list[int] = []
    if len(covered):
        _, far = nearest(points, covered)
    else:
        mean = points.mean(axis=0, dtype=np.float64).astype(np.float32)
        chosen.append(int(_to_one(points, own, mean).argmin()))
        far = _to_one(points, own, points[chosen[0]])
        far[chosen[0]] = -1.0
    while len(chosen) < k:
        index = int(far.argmax())
        chosen.append(index)
        np.minimum(far, _to_one(points, own, points[index]), out=far)
        # Never again, even if nothing is left but copies of it.
        far[index] = -1.0
    return np.array(chosen[:k], np.intp)


def _to_one(points: Points, own: Squares, centre: Points) -> Squares:
    squares: Squares = own + np.float32(centre @ centre)
    for block in blocks(len(points), points.shape[1]):
        squares[block] -= 2.0 * (points[block] @ centre)
    np.maximum(squares, 0.0, out=squares)
    return squares


def _first_of_each(label: Indices, squares: Squares) -> Indices:
    """Of each label in use, the row with the least square, in the order of the rows."""
    order = np.lexsort((squares, label))
    _, first = np.unique(label[order], return_index=True)
    return np.sort(order[first])


def _need(pool: Pool, rows: Indices) -> Values:
    need = low_quality(pool)[rows]
    known = ~np.isnan(need)
    need = np.where(known, need, need[known].mean() if known.any() else 1.0)
    return np.maximum(need, _LEAST_WEIGHT)


def _points(pool: Pool, rows: Indices) -> Points:
    if pool.embeddings is None:
        raise ValueError("The pool has no embeddings.")
    return pool.embeddings[rows].astype(np.float32, copy=False)
