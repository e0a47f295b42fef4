"""What the control arm tells: how good predictions are on the whole, and what the strategy gains.

A batch of a queue has tasks that a strategy chose and tasks that chance alone drew, uniformly from
all tasks nobody had labelled, before the strategy chose. Every draw is to be labelled, but the
worst predictions come first: of a batch that is not done yet the control tasks already labelled are
its worst. So only batches that are done count, whole; of them the control tasks are a uniform
sample of the pools they were drawn from.

What may be left of bias: people who need longer for bad predictions have fewer bad batches done at
a given moment, an effect of one batch in all; and skipped tasks, whose quality nobody knows, count
for nothing, so that the estimate is about images that people do not skip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.9
"""Coverage of the intervals, however often one looks."""

FEWEST = 10
"""Control tasks from which on figures are shown: the interval of fewer is half of [0, 1] wide."""

ENOUGH = 30
"""Control tasks from which on a strategy is said not to pay."""

_GRID = 2001
_LARGEST_BET = 0.5


@dataclass(frozen=True, slots=True)
class Draw:
    """One task of a batch.

    Attributes:
        batch: Its number; batches are finished in any order.
        is_control: Whether chance drew it, not the strategy.
        is_over: Whether it was labelled, skipped, or is gone.
        quality: Of the prediction of the version that served when it was drawn, in [0, 1]; None
            where that is not known.
    """

    batch: int
    is_control: bool
    is_over: bool
    quality: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of n values in [0, 1] and an interval that covers the true one at ``LEVEL``."""

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gain:
    """How much more there was to correct in what the strategy chose.

    It says how bad the predictions were that people were asked to correct, against those that
    chance would have asked for; not yet that a model trained on them is better.

    Attributes:
        n: Tasks that the strategy chose, in batches that are done.
        strategy_error: Mean of 1 - quality over them.
        control_error: The same by chance.
        mean: ``strategy_error`` less the mean of ``control_error``, in [-1, 1]; above 0 = more.
        low: Lower end of its interval, of the control arm alone: what the strategy chose is known
            in whole.
        high: Upper end.
    """

    n: int
    strategy_error: float
    control_error: Estimate
    mean: float
    low: float
    high: float

    @property
    def pays(self) -> bool | None:
        """Whether more is found than by chance; None as long as too few tasks tell."""
        if self.low > 0:
            return True
        return False if self.control_error.n >= ENOUGH else None


def in_finished_batches(draws: Iterable[Draw]) -> list[Draw]:
    """The draws of batches of which every task has an end, by batch."""
    found: dict[int, list[Draw]] = {}
    for draw in draws:
        found.setdefault(draw.batch, []).append(draw)
    return [
        draw
        for _, batch in sorted(found.items())
        if all(draw.is_over for draw in batch)
        for draw in batch
    ]


def n_waiting(draws: Iterable[Draw]) -> int:
    """Draws whose quality is known and does not count yet: their batch is not done."""
    all_ = list(draws)
    known = [draw for draw in all_ if draw.quality is not None]
    return len(known) - sum(draw.quality is not None for draw in in_finished_batches(all_))


def pool_quality(draws: Iterable[Draw]) -> Estimate | None:
    """Mean quality of predictions on the pools that were drawn from; None before a batch is done.

    Pools shrink: what was labelled is no more in the next one.
    """
    return mean_of(
        [q for draw in in_finished_batches(draws) if (q := _control_of(draw)) is not None]
    )


def gain(draws: Iterable[Draw]) -> Gain | None:
    """What the strategy finds to correct per label, beside chance; None before both have some."""
    done = in_finished_batches(draws)
    chosen = [1 - d.quality for d in done if not d.is_control and d.quality is not None]
    control = mean_of([1 - q for draw in done if (q := _control_of(draw)) is not None])
    if not chosen or control is None:
        return None
    error = float(np.mean(chosen))
    return Gain(
        n=len(chosen),
        strategy_error=error,
        control_error=control,
        mean=error - control.mean,
        low=error - control.high,
        high=error - control.low,
    )


def _control_of(draw: Draw) -> float | None:
    return draw.quality if draw.is_control else None


def mean_of(values: Sequence[float]) -> Estimate | None:
    """The mean of values in [0, 1] with a confidence sequence at ``LEVEL``; None of none.

    Valid for every sample size, every distribution on [0, 1], and however often one looks while
    values come in: the hedged capital process of Waudby-Smith and Ramdas, "Estimating means of
    bounded random variables by betting" (2024), in the order of the values. A t interval is
    narrower, and of few values with a long tail, as Dice has, it misses far more often than it
    says.

    Raises:
        ValueError: A value is outside of [0, 1].
    """
    if not values:
        return None
    x = np.asarray(values, dtype=np.float64)
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"Values must lie in [0, 1], got {x[~((x >= 0) & (x <= 1))][0]}.")
    means = np.linspace(0.0, 1.0, _GRID, dtype=np.float64)
    held = means[_capital(x, means) < 1 / (1 - LEVEL)]
    mean = float(x.mean())
    # The grid may pass over an interval that is nearly a point.
    low, high = (float(held[0]), float(held[-1])) if len(held) else (mean, mean)
    return Estimate(len(x), mean, min(low, mean), max(high, mean))


def _capital(x: npt.NDArray[np.float64], means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest wealth so far of who bets against each mean, from 1; few are ever above 1 / alpha."""
    n = len(x)
    times = np.arange(1, n + 1)
    running = (0.5 + np.cumsum(x)) / (times + 1)
    spread = (0.25 + np.cumsum((x - running) ** 2)) / (times + 1)
    before = np.concatenate([[0.25], spread[:-1]])  # a bet knows what came before it alone
    bets = np.sqrt(2 * np.log(2 / (1 - LEVEL)) / (before * times * np.log(times + 1)))
    with np.errstate(divide="ignore"):
        most_up, most_down = _LARGEST_BET / means, _LARGEST_BET / (1 - means)
    off = x[:, None] - means[None, :]
    up = np.log1p(np.minimum(bets[:, None], most_up[None, :]) * off).cumsum(axis=0)
    down = np.log1p(-np.minimum(bets[:, None], most_down[None, :]) * off).cumsum(axis=0)
    wealth = np.exp(np.maximum(up, down).max(axis=0))
    return np.asarray(wealth / 2, dtype=np.float64)
