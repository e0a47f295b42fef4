"""Equal shares for each class that is predicted, so that rare ones are labelled too."""

from __future__ import annotations

import numpy as np

from active_learning.strategies.order import Mask, filled, highest_first, known_first
from active_learning.strategies.pool import Indices, Pool, Strategy
from active_learning.strategies.scores import Score, power

STRATIFIED_SHARE = 0.66
"""Of a batch; the rest goes by score alone (Lüth et al. 2026)."""

FIRST_BETA, LAST_BETA = 1.0, 100.0
"""Of the noise, at no and at full progress (Lüth et al. 2026)."""


def stratified_random(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    """At random, with the same share of the batch for each class that is predicted anywhere.

    What nnActive calls foreground-aware random (Lüth et al. 2025) draws from the true classes of
    the pool, which nobody has; this draws from the predicted ones. A task stands in the stratum of
    each class it shows; one predicted empty stands in a stratum of its own. That gets the share of
    the others, but never more than it has in the pool: more empty images than at random teach less
    than random ones. A stratum that has no task left leaves its turns to the others.

    Not predicted tasks come last, at random.
    """

    def choose(rows: Indices, n: int) -> Indices:
        present = pool.class_shares[rows] > 0
        order = rng.permutation(rows.size)
        return _in_turns(present[order], n, rng, empty=True, order=order)

    return known_first(is_predicted(pool), k, rng, choose)


def class_stratified(score: Score) -> Strategy:
    """ClaSP PE for whole images: classes in turns, by a score whose noise ebbs.

    Lüth, Traub et al. 2026, *Finally Outshining the Random Baseline*, arXiv:2601.13677. There the
    queries are patches and the score is the entropy. Here two thirds of a batch are drawn in turns
    for each predicted class, from the images that show it, and the rest from all; both by log score
    + Gumbel noise / ``beta``. Not predicted tasks come last, at random.
    """

    def strategy(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
        scores = score(pool)

        def choose(rows: Indices, n: int) -> Indices:
            present = pool.class_shares[rows] > 0
            order = highest_first(power(scores[rows], rng, beta(pool.progress)))
            in_turns = round(STRATIFIED_SHARE * n)
            chosen = _in_turns(present[order], in_turns, rng, empty=False, order=order)
            return filled(chosen, order, n)

        return known_first(is_predicted(pool) & ~np.isnan(scores), k, rng, choose)

    return strategy


def beta(progress: float) -> float:
    """Weight of the score against the noise: from 1 to 100, the same factor for each step.

    Args:
        progress: in [0, 1].
    """
    return float(FIRST_BETA * (LAST_BETA / FIRST_BETA) ** progress)


def _in_turns(
    present: Mask, k: int, rng: np.random.Generator, *, empty: bool, order: Indices
) -> Indices:
    """The first task left of each stratum in turn, until there are k or none is left.

    Args:
        present: (n, C) whether each class is in each task, in the order in which they are wanted.
        k: How many.
        rng: Draws whose turn is first, and whether it is the empty ones' turn at all.
        empty: Whether the tasks without any class are a stratum.
        order: (n,) row of each task.

    Returns:
        Rows, at most k.
    """
    waiting = [np.flatnonzero(column).tolist()[::-1] for column in present.T if column.any()]
    without = np.flatnonzero(~present.any(axis=1)).tolist()[::-1] if empty else []
    in_round = _turns_of_empty(len(waiting), len(without), len(present))
    taken: dict[int, None] = {}
    while len(taken) < k and (any(waiting) or without):
        strata = [stratum for stratum in waiting if stratum]
        if without and (not strata or rng.random() < in_round):
            strata.append(without)
        for index in rng.permutation(len(strata)):
            stratum = strata[index]
            while stratum and stratum[-1] in taken:
                stratum.pop()
            if stratum and len(taken) < k:
                taken[stratum.pop()] = None
    return order[list(taken)]


def _turns_of_empty(n_strata: int, n_empty: int, n: int) -> float:
    """In which share of rounds the empty stratum has a turn beside ``n_strata`` others."""
    share = min(1 / (n_strata + 1), n_empty / n)
    return min(share * n_strata / (1 - share), 1.0) if share < 1 else 1.0


def is_predicted(pool: Pool) -> Mask:
    """(n,) whether it is known which classes a task shows."""
    if pool.class_shares.shape[1] == 0:
        return np.zeros(len(pool), np.bool_)
    return np.asarray(~np.isnan(pool.class_shares).any(axis=1))
