"""Uniformly at random: what every other strategy is measured against."""

from __future__ import annotations

import numpy as np

from active_learning.strategies.pool import Indices, Pool


def random(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    """Each task with the same chance.

    What its batches yield is unbiased: it is the control arm's strategy too.
    """
    return rng.permutation(len(pool))[:k].astype(np.intp)
