"""How much a task needs a label, from what its prediction looks like; and draws by such a score.

A score is high where a label is needed and NaN where nothing is known. A noise turns scores into
keys, of which a batch takes the highest: taking the k best alike tasks teaches less than k that
vary, and a little chance is the cheapest cure (Kirsch et al. 2023, *Stochastic Batch Acquisition: A
Simple Baseline for Deep Active Learning*, arXiv:2106.12059).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from active_learning.strategies.order import Values, highest_first, known_first
from active_learning.strategies.pool import Indices, Pool, Strategy

Score: TypeAlias = Callable[[Pool], Values]
"""(n,), >= 0, NaN = unknown."""
Noise: TypeAlias = Callable[[Values, np.random.Generator], Values]
"""Known scores -> keys."""

BETA = 1.0
"""How much scores weigh against chance, as Kirsch et al. have it; more is nearer to the order."""


def low_quality(pool: Pool) -> Values:
    """1 - the expected quality of the prediction."""
    return 1.0 - pool.quality


def entropy(pool: Pool) -> Values:
    """Mean entropy of the folds' mean probability: everything that is unsure."""
    return _measure(pool, "entropy")


def bald(pool: Pool) -> Values:
    """Mean mutual information, the part of the entropy that comes from the folds' disagreement.

    Houlsby et al. 2011, arXiv:1112.5745.
    """
    return _measure(pool, "mutual_information")


def fold_disagreement(pool: Pool) -> Values:
    """1 - the mean Dice between every two folds (query by committee: Seung et al. 1992)."""
    return np.maximum(1.0 - _measure(pool, "pairwise_dice"), 0.0)


def no_noise(scores: Values, rng: np.random.Generator) -> Values:
    """The scores themselves."""
    return scores


def softmax(scores: Values, rng: np.random.Generator, beta: float = BETA) -> Values:
    """The first is task i with a chance that grows as exp(beta score)."""
    keys: Values = scores + rng.gumbel(size=scores.shape) / beta
    return keys


def softrank(scores: Values, rng: np.random.Generator, beta: float = BETA) -> Values:
    """The first is the task of rank r (1 = highest) with a chance that falls as r ** -beta.

    It asks nothing of the scores but their order.
    """
    ranks = np.empty(scores.shape)
    ranks[highest_first(scores)] = np.arange(1, scores.size + 1)
    keys: Values = rng.gumbel(size=scores.shape) / beta - np.log(ranks)
    return keys


def power(scores: Values, rng: np.random.Generator, beta: float = BETA) -> Values:
    """The first is task i with a chance that grows as score ** beta.

    A score of 0 comes after every other one; many such come in random order.
    """
    # The log of the smallest float, -708, lies below any other with its noise.
    logs = np.log(np.maximum(scores, np.finfo(np.float64).tiny))
    keys: Values = logs + rng.gumbel(size=scores.shape) / beta
    return keys


def by_score(score: Score, noise: Noise = no_noise) -> Strategy:
    """The strategy that takes the highest scores, after noise; unknown ones last, at random."""

    def strategy(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
        scores = score(pool)
        return known_first(
            ~np.isnan(scores),
            k,
            rng,
            lambda rows, n: highest_first(noise(scores[rows], rng))[:n],
        )

    return strategy


def _measure(pool: Pool, name: str) -> Values:
    values = pool.measures.get(name)
    return np.full(len(pool), np.nan) if values is None else values
