"""Parts that strategies share: orders, and batches that go on where knowledge ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from active_learning.strategies.pool import Indices

Values: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def highest_first(keys: Values) -> Indices:
    """All rows, the highest key first; among equals the lower row, which is the lower task id."""
    return np.argsort(-keys, kind="stable")


def known_first(
    known: Mask, k: int, rng: np.random.Generator, choose: Callable[[Indices, int], Indices]
) -> Indices:
    """A batch of the rows something is known of; only where they run out, others at random.

    Args:
        known: (n,).
        k: At most n.
        rng: Draws the others.
        choose: (known rows, how many) -> that many indices into these rows.

    Returns:
        (k,) rows.
    """
    rows = np.flatnonzero(known)
    n = min(k, rows.size)
    chosen = rows[choose(rows, n)] if n else rows[:0]
    if n == k:
        return chosen
    return np.concatenate([chosen, rng.permutation(np.flatnonzero(~known))[: k - n]])


def filled(chosen: Indices, order: Indices, k: int) -> Indices:
    """``chosen``, and after it the first of ``order`` that are not in it, k in all."""
    others = order[~np.isin(order, chosen)]
    return np.concatenate([chosen, others])[:k]
