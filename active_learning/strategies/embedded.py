"""What strategies on embeddings share: which tasks have one, and which are the same image."""

from __future__ import annotations

import numpy as np

from active_learning.strategies.distances import Points, squared_distances
from active_learning.strategies.order import Mask
from active_learning.strategies.pool import Indices, Pool

SAME = 0.04
"""Squared distance of unit vectors below which two images count as one. Half of JPEG files of
quality 90 lie within 0.006 of their image; 1 of 23,628 pairs of different images lies below."""

_BLOCK = 512


def has_embedding(pool: Pool) -> Mask:
    """(n,) whether a task's embedding is known."""
    if pool.embeddings is None:
        return np.zeros(len(pool), np.bool_)
    return np.asarray(~np.isnan(pool.embeddings).any(axis=1))


def labelled_points(pool: Pool) -> Points:
    """(m, d) the known embeddings of what is labelled; m = 0 where there are none."""
    d = 0 if pool.embeddings is None else pool.embeddings.shape[1]
    labelled = pool.labelled_embeddings
    if labelled is None:
        return np.empty((0, d), np.float32)
    return labelled[~np.isnan(labelled).any(axis=1)].astype(np.float32, copy=False)


def without_same(points: Points, order: Indices, limit: int) -> Indices:
    """The first of ``order`` that no earlier one is the same image as, up to a number.

    Args:
        points: (n, d) unit vectors.
        order: Rows, the most wanted first.
        limit: Where to stop.

    Returns:
        Rows, at most ``limit``.
    """
    kept: Indices = np.empty(0, np.intp)
    # No more at a time than are wanted: most pools have no image twice.
    step = min(max(limit, 1), _BLOCK)
    for start in range(0, order.size, step):
        if kept.size >= limit:
            break
        rows = order[start : start + step]
        if kept.size:
            near = squared_distances(points[rows], points[kept]).min(axis=1)
            rows = rows[near >= SAME]
        among = squared_distances(points[rows], points[rows]) < SAME
        is_kept = np.ones(rows.size, np.bool_)
        for index in range(rows.size):
            is_kept[index] = not (among[index, :index] & is_kept[:index]).any()
        kept = np.concatenate([kept, rows[is_kept]])
    return kept[:limit]
