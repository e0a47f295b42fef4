"""Figures of curves: area under the budget curve, labels and effort to reach what all labels do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.integrate import trapezoid

SHARE_OF_FULL = 0.95
"""Of the Dice that all labels together reach: the aim that labels and effort are counted to."""

LEVEL = 0.95
"""Of bands."""

ALPHA = 0.05
"""Chance of a difference where there is none, of all comparisons together."""

_DIGITS = 12

Floats = npt.NDArray[np.float64]


def aubc(budgets: Sequence[float], quality: Sequence[float]) -> float:
    """Normalised area under the budget curve: the mean quality over the budget, by trapezoids.

    Args:
        budgets: Labels (or hours) of each round, rising.
        quality: Dice of each round in [0, 1].

    Returns:
        In [0, 1]; of a single round its quality.

    Raises:
        ValueError: They are empty, of different lengths, or the budgets don't rise.

    >>> aubc([8, 16, 32], [0.2, 0.4, 0.6])
    0.4333333333333333
    """
    x, y = _curve(budgets, quality)
    if len(x) == 1:
        return float(y[0])
    return float(trapezoid(y, x) / (x[-1] - x[0]))


def reached_at(budgets: Sequence[float], quality: Sequence[float], target: float) -> float | None:
    """The budget at which a curve first reaches a quality, between two rounds in a straight line.

    Returns:
        The first round's budget where that is good enough already; None where none is.

    Raises:
        ValueError: As ``aubc``.

    >>> reached_at([8, 16, 24], [0.2, 0.6, 0.8], 0.5)
    14.0
    """
    x, y = _curve(budgets, quality)
    good = np.flatnonzero(y >= target)
    if not good.size:
        return None
    first = int(good[0])
    if first == 0:
        return float(x[0])
    part = (target - y[first - 1]) / (y[first] - y[first - 1])
    return float(x[first - 1] + part * (x[first] - x[first - 1]))


def censored_median(values: Sequence[float | None]) -> float | None:
    """The median where some (None) lie above all others, nobody knows how far.

    Returns:
        None where half or more of them do, or there are none.

    >>> censored_median([12.0, None, 20.0]), censored_median([12.0, None])
    (20.0, None)
    """
    if not values:
        return None
    found = statistics.median(math.inf if value is None else value for value in values)
    return found if math.isfinite(found) else None


@dataclass(frozen=True, slots=True)
class Band:
    """A mean over seeds with its interval; no interval of a single seed."""

    mean: float
    low: float | None
    high: float | None


def band(values: Sequence[float]) -> Band:
    """Mean and its 95 % interval by Student's t.

    Raises:
        ValueError: There is no value.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Band(mean, None, None)
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values)
    return Band(mean, mean - float(half), mean + float(half))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A strategy against another over the same seeds.

    Attributes:
        difference: Mean of the paired differences.
        p: Two-sided, of the paired t-test; 1 where all pairs are equal, or there is one pair.
        p_holm: Corrected for all comparisons that were made together (Holm 1979).
        n: Pairs.
        spread: Standard deviation of the differences; None of one pair.
        n_together: Comparisons that were made together.
    """

    difference: float
    p: float
    p_holm: float
    n: int
    spread: float | None = None
    n_together: int = 1

    @property
    def is_better(self) -> bool:
        """Significantly more."""
        return self.p_holm < ALPHA and self.difference > 0

    @property
    def is_worse(self) -> bool:
        """Significantly less."""
        return self.p_holm < ALPHA and self.difference < 0

    @property
    def detectable(self) -> float | None:
        """The smallest difference that stands out with so many pairs and this spread.

        By the strictest of the corrected tests, so rather too large; None of one pair.
        """
        return None if self.spread is None else self.spread * self._factor(self.n)

    def pairs_needed(self, most: int) -> int | None:
        """The fewest pairs with which this difference, if it stays so, would stand out.

        Args:
            most: Pairs that are thinkable.

        Returns:
            None where so many are not enough, or nobody can tell.
        """
        if self.spread is None:
            return None
        fits = (n for n in range(2, most + 1) if abs(self.difference) > self._least(n))
        return next(fits, None)

    def _least(self, n: int) -> float:
        return (self.spread or 0.0) * self._factor(n)

    def _factor(self, n: int) -> float:
        """Standard deviations that ``n`` pairs have to differ by on average."""
        return float(stats.t.ppf(1 - ALPHA / (2 * self.n_together), n - 1) / math.sqrt(n))


def paired_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Two-sided p of the paired t-test.

    Returns:
        1 with fewer than two pairs, or where no pair differs; 0 where all differ alike.

    Raises:
        ValueError: Different lengths.
    """
    differences = _differences(ours, theirs)
    if differences.size < 2 or not differences.any():
        return 1.0
    if np.ptp(differences) == 0.0:
        return 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _differences(ours: Sequence[float], theirs: Sequence[float]) -> Floats:
    """Of pairs; what differs by no more than rounding does not differ."""
    return np.round([a - b for a, b in zip(ours, theirs, strict=True)], _DIGITS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    n = len(p_values)
    corrected, highest = [0.0] * n, 0.0
    for rank, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (n - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def against(values: Mapping[str, Mapping[int, float]], other: str) -> dict[str, Comparison]:
    """Compares each strategy with one of them, over the seeds that both have.

    Args:
        values: Strategy -> seed -> a figure of which more is better.
        other: Whom they are compared with; the answer is empty without it.
    """
    theirs = values.get(other, {})
    pairs = {}
    for name, ours in values.items():
        seeds = sorted(ours.keys() & theirs.keys())
        if name != other and seeds:
            pairs[name] = ([ours[s] for s in seeds], [theirs[s] for s in seeds])
    p_values = {name: paired_p(*pair) for name, pair in pairs.items()}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    found = {name: _differences(*pair).tolist() for name, pair in pairs.items()}
    return {
        name: Comparison(
            statistics.fmean(differences),
            p_values[name],
            corrected[name],
            len(differences),
            statistics.stdev(differences) if len(differences) > 1 else None,
            len(found),
        )
        for name, differences in found.items()
    }


def penalties(
    curves: Mapping[str, Mapping[int, Sequence[float]]],
) -> dict[str, dict[str, float | None]]:
    """The penalty matrix of one setting: who beats whom in which share of the rounds.

    As Ash et al. 2020 (BADGE, arXiv:1906.03671): in each round every two strategies are compared
    by a paired two-sided t-test over the seeds at 5 %, uncorrected; winning adds 1 / rounds.

    Args:
        curves: Strategy -> seed -> quality of each round.

    Returns:
        Row beats column: strategy -> strategy -> share in [0, 1]; None where they have fewer than
        two seeds in common, which test nothing. A column's mean is what its strategy is beaten in:
        low is good. Matrices of several settings add up.
    """
    return {
        row: {
            column: 0.0 if row == column else _beaten(ours, theirs)
            for column, theirs in curves.items()
        }
        for row, ours in curves.items()
    }


def _beaten(
    ours: Mapping[int, Sequence[float]], theirs: Mapping[int, Sequence[float]]
) -> float | None:
    seeds = sorted(ours.keys() & theirs.keys())
    n_rounds = min((min(len(ours[s]), len(theirs[s])) for s in seeds), default=0)
    if len(seeds) < 2 or not n_rounds:
        return None
    won = 0
    for number in range(n_rounds):
        a, b = [ours[s][number] for s in seeds], [theirs[s][number] for s in seeds]
        won += paired_p(a, b) < ALPHA and statistics.fmean(a) > statistics.fmean(b)
    return won / n_rounds


def _curve(budgets: Sequence[float], quality: Sequence[float]) -> tuple[Floats, Floats]:
    x, y = np.asarray(budgets, np.float64), np.asarray(quality, np.float64)
    if x.size == 0 or x.shape != y.shape or (np.diff(x) <= 0).any():
        raise ValueError(
            f"A curve needs rising budgets and as many figures, got {list(budgets)} and "
            f"{list(quality)}."
        )
    return x, y
