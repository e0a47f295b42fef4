"""Strategies by name, what each needs, and which one acts where that is missing.

To add one: a function (pool, k, rng) -> indices in a module here, and a row in ``_ROWS``. Such a
function is called with 1 <= k < n and rows in the order of their task ids, by ``choose`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from active_learning.strategies.pool import Indices, Pool, Strategy
from active_learning.strategies.uniform import random
from domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Need:
    """Something a pool must have for a strategy to mean anything."""

    words: str
    is_met: Callable[[Pool], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy."""

    choose: Strategy
    needs: tuple[Need, ...] = ()
    otherwise: str = "random"
    """Acts where a need is not met; it may itself hand on."""


_ROWS: dict[str, Row] = {
    "random": Row(random),
}

STRATEGY_NAMES = tuple(_ROWS)


def strategy_by_name(name: str) -> Strategy:
    """The strategy of this name, safe with every pool.

    It gives min(k, n) distinct rows for every k >= 0, the same ones in whatever order the rows
    come, and hands over to another strategy (``acting_strategy``) where the pool lacks what it
    needs.

    Raises:
        SettingsError: There is none of this name.
    """
    _row(name)

    def strategy(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
        return choose(name, pool, k, rng)

    return strategy


def acting_strategy(name: str, pool: Pool) -> str:
    """Which strategy really chooses from this pool when ``name`` is asked for.

    Raises:
        SettingsError: There is none of this name.
    """
    row = _row(name)
    while not all(need.is_met(pool) for need in row.needs):
        name = row.otherwise
        row = _ROWS[name]
    return name


def choose(name: str, pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    """A batch of the strategy ``name``, or of the one that acts for it.

    Returns:
        (min(k, n),) indices into the pool, each once, in the order chosen.

    Raises:
        SettingsError: There is no strategy of this name.
        ValueError: k is negative.
    """
    if k < 0:
        raise ValueError(f"A batch has no fewer than 0 tasks, got {k}.")
    row = _row(acting_strategy(name, pool))
    k = min(k, len(pool))
    if k == 0:
        return np.empty(0, np.intp)
    # What is chosen then depends on no order but the ids'.
    by_id = np.argsort(pool.task_ids)
    return by_id[row.choose(pool.part(by_id), k, rng)]


def _row(name: str) -> Row:
    if name not in _ROWS:
        raise SettingsError(
            f"There is no query strategy {name!r}.",
            remedy=f"Choose one of {', '.join(STRATEGY_NAMES)}.",
        )
    return _ROWS[name]
