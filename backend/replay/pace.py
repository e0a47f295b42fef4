"""How many trainings are left of a replay, and about how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from backend.replay.options import BASELINES, ReplayOptions
from backend.replay.results import Results
from backend.replay.rounds import chooses_its_start
from backend.settings.duration import say_duration
from domain.text import counted


def trainings_left(results: Results, seeds: Iterable[int]) -> int:
    """How many committees are still to be trained; fewer where strategies choose the same images.

    From each seed one on all labels, one on the start that strategies share, and one a round.
    """
    table, options = results.table, results.table.options
    n_after_start = max(0, len(table.pool) - options.start)
    n_rounds = min(options.rounds, 1 + -(-n_after_start // options.batch))
    played = {(one.strategy, one.seed): len(one.rounds) for one in results.courses}
    n_left = 0
    for seed in seeds:
        n_left += seed not in results.full
        shares_start = False
        for strategy in options.strategies:
            n_played = played.get((strategy, seed), 0)
            n_left += max(0, n_rounds - max(1, n_played))
            if not n_played and chooses_its_start(strategy, table):
                n_left += 1
            elif not n_played:
                shares_start = True
        n_left += shares_start
    return n_left


@dataclass(slots=True)
class Pace:
    """Says what is ahead: how many trainings, and after the first one how long all of them take.

    Attributes:
        n_left: Trainings.
        options: The rules.
        n_at_once: Trainings at a time.
        clock: Seconds.
    """

    n_left: int
    options: ReplayOptions
    n_at_once: int = 1
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _is_told: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Starts the clock."""
        self._began = self.clock()

    @property
    def plan(self) -> str:
        """What is ahead, in a sentence."""
        options = self.options
        n_added = sum(name in BASELINES for name in options.strategies)
        return (
            f"Up to {counted(self.n_left, 'training')} of {counted(options.folds, 'network')} each "
            f"{'is' if self.n_left == 1 else 'are'} ahead: {counted(options.seeds, 'seed')}, "
            f"{counted(len(options.strategies), 'strategy', 'strategies')} ({n_added} of them to "
            f"compare with), {counted(options.rounds, 'round')}. Fewer: --seeds, --rounds."
        )

    def after_one(self) -> str:
        """About how long all of it takes, after the first training; "" after the others."""
        if self._is_told:
            return ""
        self._is_told = True
        took_s = self.clock() - self._began
        left_s = took_s * max(0, self.n_left - 1) / self.n_at_once
        return (
            f"The first training took {say_duration(took_s)}; the others will take about "
            f"{say_duration(left_s)} in all. Interrupted, the same command goes on."
        )
