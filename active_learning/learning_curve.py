"""How quality grows with labels, what more of them will probably give, and when it is enough.

Quality mostly follows a power law of the number of labels, a - b n^-c (Cortes et al. 1994; Hestness
et al. 2017, arXiv:1712.00409; of medical segmentation: Mahmood et al. 2022, arXiv:2207.01725), but
often it begins slowly, or ends otherwise (Viering and Loog 2022, arXiv:2103.10948). Which curve it
is, is never known from a handful of versions. So all curves of two families are weighed by how well
they fit (Bayes' rule), and a forecast is over all of them, and wider by what no curve of a family
knows: few points, wide bands. It is of more labels like those before, trained on in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from active_learning.control_arm import Estimate

Floats = npt.NDArray[np.float64]

LIMITS = np.linspace(0.30, 1.0, 36)
"""``a``: quality with all the labels in the world."""

RESOLUTION = 0.01
"""Half the distance of ``LIMITS``: many versions on many cases pick one curve, and the true one may
lie so far beside it. Without it 90 % bands of 20 versions of up to 5,000 labels held 66 % of the
true curve, of 12 of up to 1,000 76 %; with it 97 % each. Of targets near the curve (20
versions) those that were called reached with 20 % or less were so in 17 % without, 7 % with it."""

MISSING = np.linspace(0.0, 1.0, 21)
"""Power law: what ``FEW`` labels leave to be gained, as a share of ``a``."""

RATES = np.geomspace(0.1, 3.0, 9)
"""Power law: ``c``."""

BEGINNINGS = np.array([0.0, 10.0, 30.0, 100.0, 300.0])
"""Power law: labels as if they had been there before, a - b (n + n0)^-c. The more, the more even is
the rise at first, up to an exponential's."""

HALVES = np.geomspace(2.0, 400.0, 16)
"""Slow beginnings, a / (1 + (h / n)^k) (Morgan, Mercer and Flodin 1975): ``h``, labels at which
half of ``a`` is reached."""

STEEPNESSES = np.array([0.5, 0.8, 1.2, 2.0, 3.0, 4.0])
"""Slow beginnings: ``k``."""

SURPRISES = np.array([0.3, 0.6, 1.0, 1.6, 3.0])
"""What a gain turns out to be, in those that the curve tells: a rare class begins to be seen, a
plateau comes sooner. With these odds 90 % intervals held 87 to 100 % of the true gains on curves of
neither family (Gompertz, logarithm, jumps), without them 26 to 92 %."""

ODDS = np.array([0.15, 0.20, 0.30, 0.20, 0.15])

SPREADS = (0.005, 0.01, 0.02, 0.04)
"""Standard deviations of a version's quality round the curve, beyond what its few cases explain:
two trainings on the same labels differ, too."""

FEW = 8.0

LEVEL = 0.9
"""Of bands and intervals."""

_BESIDE = RESOLUTION / float(ndtri((1 + LEVEL) / 2))
"""``RESOLUTION`` as a standard deviation: nine of ten true curves lie within it."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A version's quality.

    Attributes:
        labels: It was trained on.
        quality: Mean Dice of cases it has not seen, in [0, 1].
        standard_error: Of that mean, 0 or more.
    """

    labels: int
    quality: float
    standard_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """A quality, or a gain of quality, with its interval (``LEVEL``)."""

    value: float
    low: float
    high: float


class LearningCurve:
    """The curves that fit the versions of a project.

    Args:
        points: Versions; those of 0 labels or without a finite quality say nothing.
        covariance: (point, point) of the errors of their qualities, where versions were measured on
            the same cases: what these cases have in common says nothing about a gain. None: errors
            are independent, each point's ``standard_error``.

    Raises:
        ValueError: No point says anything.
    """

    def __init__(
        self, points: Sequence[CurvePoint], covariance: npt.ArrayLike | None = None
    ) -> None:
        told = [i for i, p in enumerate(points) if p.labels > 0 and np.isfinite(p.quality)]
        if not told:
            raise ValueError("A learning curve needs a version with labels and a quality.")
        told.sort(key=lambda i: points[i].labels)
        self.points = tuple(points[i] for i in told)
        if covariance is None:
            self._covariance = np.diag([p.standard_error**2 for p in self.points])
        else:
            self._covariance = np.asarray(covariance, dtype=np.float64)[np.ix_(told, told)]

    @property
    def labels(self) -> int:
        """Of the version with the most."""
        return self.points[-1].labels

    def band(self, labels: Sequence[int]) -> list[Forecast]:
        """The curve at these numbers of labels: where a mean over many trainings would lie.

        Raises:
            ValueError: One of them is below 1.
        """
        return [self._at_labels(n) for n in labels]

    def gain(self, more: int) -> Forecast:
        """What so many labels more than now will probably add to the quality.

        Raises:
            ValueError: ``more`` is negative.
        """
        if more < 0:
            raise ValueError(f"A gain is of 0 labels or more, got {more}.")
        now = self._at(self.labels)
        gains = self._at(self.labels + more) - now
        value = float(gains @ self._weights)
        return self._after(np.zeros_like(gains), gains, 1.0 - now, 0.0).forecast(value)

    def labels_to(self, quality: float, most: int = 100_000) -> int | None:
        """The fewest labels at which the curve probably reaches a quality; None within ``most``."""
        low, high = 0, most
        if self._mean(most) < quality:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._mean(middle) >= quality else (middle, high)
        return high

    def chance_of(self, quality: float) -> float:
        """The probability that the curve is at a quality, or above, already; in [0, 1].

        By the distribution that ``band`` is of: 5 % lie above it, 5 % below.
        """
        return self._now(self.labels).chance_of(quality)

    @cached_property
    def _weights(self) -> Floats:
        """Posterior probability of each curve; before the points both families are alike."""
        quality = np.array([p.quality for p in self.points])
        misfit = np.stack([self._at(p.labels) for p in self.points]) - quality[:, None]
        # Along these axes errors are independent, whatever the spread is.
        variances, axes = np.linalg.eigh(self._covariance)
        misfit = axes.T @ misfit
        logs = []
        for spread in SPREADS:
            variance = (spread**2 + np.maximum(variances, 0.0))[:, None]
            logs.append(-0.5 * (misfit**2 / variance + np.log(variance)).sum(axis=0))
        log_weights = np.logaddexp.reduce(logs, axis=0) + _log_prior()
        weights: Floats = np.exp(log_weights - np.logaddexp.reduce(log_weights))
        return weights

    def _at(self, labels: int) -> Floats:
        """(curve,) quality of each, in [0, 1]."""
        if labels < 1:
            raise ValueError(f"A curve is at 1 label or more, got {labels}.")
        a, missing, c, before = _power_laws()
        power = a - missing * ((labels + before) / (FEW + before)) ** -c
        top, half, steepness = _slow_beginnings()
        slow = top / (1.0 + (half / labels) ** steepness)
        return np.asarray(np.maximum(np.concatenate([power, slow]), 0.0), dtype=np.float64)

    def _mean(self, labels: int) -> float:
        return float(self._at(labels) @ self._weights)

    def _at_labels(self, labels: int) -> Forecast:
        there = self._at(labels)
        value = float(there @ self._weights)
        if labels <= self.labels:
            return self._now(labels).forecast(value)
        now = self._at(self.labels)
        return self._after(now, there - now, 1.0 - now, _BESIDE).forecast(value)

    def _now(self, labels: int) -> _Distribution:
        """Of the curve at labels that versions have had."""
        return _Distribution(self._at(labels), self._weights, _BESIDE)

    def _after(self, start: Floats, gains: Floats, most: Floats, beside: float) -> _Distribution:
        """Of ``start`` and a gain beyond, which may surprise up to ``most``; (curve,) each."""
        told = self._weights > _NEGLIGIBLE * self._weights.max()
        surprising = np.minimum(np.outer(gains[told], SURPRISES), most[told, None])
        values = (start[told, None] + surprising).ravel()
        return _Distribution(values, np.outer(self._weights[told], ODDS).ravel(), beside)


@dataclass(frozen=True, slots=True, eq=False)
class _Distribution:
    """What is known of a quality, or of a gain: all that is told of it follows from here.

    Attributes:
        values: (n,) by each curve, in [0, 1].
        weights: (n,) their probabilities.
        beside: Standard deviation of how far the true curve lies beside them; of a gain 0, since it
            lies beside them on both ends alike.
    """

    values: Floats
    weights: Floats
    beside: float

    def forecast(self, value: float) -> Forecast:
        """A value with the interval that leaves as much out below as above."""
        # Of a sum of thousands of probabilities the last digits are noise.
        value, tail = min(value, 1.0), (1 - LEVEL) / 2
        low, high = (min(max(self._quantile(p), 0.0), 1.0) for p in (tail, 1 - tail))
        return Forecast(value, min(low, value), max(high, value))

    def chance_of(self, least: float) -> float:
        """The probability of so much or more; a quality is none below 0 or above 1."""
        if least <= 0.0 or least > 1.0:
            return float(least <= 0.0)
        total = self.weights.sum()
        if not self.beside:
            return float(self.weights[self.values >= least].sum() / total)
        return float(ndtr((self.values - least) / self.beside) @ self.weights / total)

    def _quantile(self, p: float) -> float:
        if not self.beside:
            order = np.argsort(self.values, kind="stable")
            sums = np.cumsum(self.weights[order])
            place = min(int(np.searchsorted(sums, p * sums[-1])), len(order) - 1)
            return float(self.values[order[place]])
        # Tens of thousands of values, of which the nearest count as one.
        places = np.round(self.values / _FINE).astype(np.int64)
        weights = np.bincount(places, self.weights)
        values, weights = np.flatnonzero(weights) * _FINE, weights[weights > 0]
        aim = p * weights.sum()
        low, high = -8.0 * self.beside, 1.0 + 8.0 * self.beside
        while high - low > _FINE / 10:
            middle = (low + high) / 2
            is_below = ndtr((middle - values) / self.beside) @ weights < aim
            low, high = (middle, high) if is_below else (low, middle)
        return (low + high) / 2


_FINE = 5e-4
"""Of a quality: differences that are none."""

_NEGLIGIBLE = 1e-9
"""Curves that are so much less probable than the best one don't show in an interval."""


@cache
def _power_laws() -> tuple[Floats, Floats, Floats, Floats]:
    """(curve,) float64 each: ``a``, what is missing at ``FEW`` labels, ``c``, labels before."""
    a, share, c, before = _grid(LIMITS, MISSING, RATES, BEGINNINGS)
    return a, share * a, c, before


@cache
def _slow_beginnings() -> tuple[Floats, Floats, Floats]:
    """(curve,) float64 each: ``a``, ``h``, ``k``."""
    a, half, steepness = _grid(LIMITS, HALVES, STEEPNESSES)
    return a, half, steepness


@cache
def _log_prior() -> Floats:
    """(curve,) float64: half of the probability to each family, evenly over its grid."""
    sizes = (len(_power_laws()[0]), len(_slow_beginnings()[0]))
    return np.concatenate([np.full(n, -np.log(2.0 * n)) for n in sizes])


def _grid(*axes: npt.NDArray[np.floating]) -> list[Floats]:
    return [np.asarray(a, dtype=np.float64).ravel() for a in np.meshgrid(*axes, indexing="ij")]


@dataclass(frozen=True, slots=True)
class Enough:
    """Why labelling may stop.

    Attributes:
        reason: In one sentence.
        labels: Number of labels at which that was so.
    """

    reason: str
    labels: int


BATCH = 20
"""Labels of which the gain per hour is told."""

SURE = 0.8
"""Probability from which on a target counts as reached."""


def enough(
    curve: LearningCurve,
    *,
    target: float | None = None,
    least_gain_per_hour: float | None = None,
    seconds_per_label: float | None = None,
    on_pool: Estimate | None = None,
) -> Enough | None:
    """Whether labelling may stop by what the project has set; None: it may not, or nothing is set.

    Args:
        curve: Of the project.
        target: A quality in [0, 1] that is enough.
        least_gain_per_hour: Quality that an hour of labelling has to add to be worth it.
        seconds_per_label: What a label takes people; without it the gain per hour is not known.
        on_pool: Quality of the newest version's predictions on the whole, by a sample that chance
            drew. Held-out cases are those that somebody chose to label; where the sample says
            that the target is missed on the whole, it is not reached, and where its interval lies
            above the target, it is.
    """
    if target is not None:
        if on_pool is not None and on_pool.low >= target:
            return Enough(
                f"The quality of {target:g} that was set as the target is reached on the whole: "
                f"{on_pool.low:.2f} at least, by {on_pool.n} tasks drawn by chance.",
                curve.labels,
            )
        is_missed = on_pool is not None and on_pool.high < target
        if not is_missed and (chance := curve.chance_of(target)) >= SURE:
            return Enough(
                f"The quality of {target:g} that was set as the target is reached on held-out "
                f"cases (probability {'above 99%' if chance > 0.99 else format(chance, '.0%')}).",
                curve.labels,
            )
    if least_gain_per_hour is not None and seconds_per_label:
        hours = BATCH * seconds_per_label / 3600
        # The upper end: little is certain only if even good luck would bring little.
        per_hour = curve.gain(BATCH).high / hours
        if per_hour < least_gain_per_hour:
            return Enough(
                f"An hour of labelling adds {_at_most(per_hour)} to the quality, less than the "
                f"{least_gain_per_hour:g} that was set.",
                curve.labels,
            )
    return None


def _at_most(gain: float) -> str:
    """By its digits, however small: 0.0000 would say that nothing at all can come."""
    return f"at most {gain:.3g}" if gain >= 1e-4 else "less than 0.0001"
