"""Strategies by name, what each needs, and which one acts where that is missing.

To add one: a function (pool, k, rng) -> indices in a module here, and a row in ``_ROWS``. It is
called by ``choose`` alone: with 1 <= k <= n, rows in the order of their task ids, and what the row
needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from active_learning.strategies import scores
from active_learning.strategies.diverse import core_set, diverse
from active_learning.strategies.embedded import has_embedding
from active_learning.strategies.pool import Indices, Pool, Strategy
from active_learning.strategies.stratified import (
    class_stratified,
    is_predicted,
    stratified_random,
)
from active_learning.strategies.typical import typical
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
    otherwise: str = ""
    """Acts where a need is not met; it may itself hand on."""


def _known(score: scores.Score, words: str) -> Need:
    return Need(words, lambda pool: not np.isnan(score(pool)).all())


_QUALITY = _known(scores.low_quality, "a score")
_CLASSES = Need("predicted classes", lambda pool: bool(is_predicted(pool).any()))
_ENOUGH_EMBEDDINGS = 2_000
"""Say what a pool looks like, however large it is: they are made evenly from all of it."""

_EMBEDDINGS = Need(
    "embeddings of half of the tasks, or of 2,000",
    lambda pool: bool(
        np.count_nonzero(has_embedding(pool)) >= min(len(pool) / 2, _ENOUGH_EMBEDDINGS)
    ),
)

_SCORES: dict[str, tuple[scores.Score, Need]] = {
    "lowest_score": (scores.low_quality, _QUALITY),
    "entropy": (scores.entropy, _known(scores.entropy, "the measure entropy")),
    "bald": (scores.bald, _known(scores.bald, "the measure mutual_information")),
    "fold_disagreement": (
        scores.fold_disagreement,
        _known(scores.fold_disagreement, "the measure pairwise_dice"),
    ),
}
_NOISES: dict[str, scores.Noise] = {
    "": scores.no_noise,
    "softmax_": scores.softmax,
    "softrank_": scores.softrank,
    "power_": scores.power,
}

_ROWS: dict[str, Row] = {
    "random": Row(random),
    "stratified_random": Row(stratified_random, (_CLASSES,), "random"),
    "typical": Row(typical, (_EMBEDDINGS,), "stratified_random"),
    "core_set": Row(core_set, (_EMBEDDINGS,), "stratified_random"),
    "diverse": Row(diverse, (_EMBEDDINGS,), "lowest_score"),
    "class_stratified": Row(
        class_stratified(scores.low_quality), (_QUALITY, _CLASSES), "lowest_score"
    ),
    "class_stratified_entropy": Row(
        class_stratified(scores.entropy), (_SCORES["entropy"][1], _CLASSES), "class_stratified"
    ),
    **{
        prefix + name: Row(
            scores.by_score(score, noise),
            (need,),
            "typical" if name == "lowest_score" else f"{prefix}lowest_score",
        )
        for prefix, noise in _NOISES.items()
        for name, (score, need) in _SCORES.items()
    },
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


def otherwise_of(name: str) -> str:
    """Which strategy is asked where the pool lacks what this one needs; "" of one without needs.

    Raises:
        SettingsError: There is none of this name.
    """
    return _row(name).otherwise


def needs_embeddings(name: str) -> bool:
    """Whether the strategy looks at embeddings.

    Raises:
        SettingsError: There is none of this name.
    """
    return _EMBEDDINGS in _row(name).needs


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
    is_sorted = bool((by_id[1:] > by_id[:-1]).all())
    return by_id[row.choose(pool if is_sorted else pool.part(by_id), k, rng)]


def _row(name: str) -> Row:
    if name not in _ROWS:
        raise SettingsError(
            f"There is no query strategy {name!r}.",
            remedy=f"Choose one of {', '.join(STRATEGY_NAMES)}.",
        )
    return _ROWS[name]
