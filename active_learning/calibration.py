"""Calibration: from what the folds say of an image to the Dice that its prediction will have.

Folds can't see an error that all of them share (resolution, laterality, too few steps), so their
soft Dice is too high nearly always, and by how much differs from project to project. What people
made of earlier predictions tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from active_learning.measures import ImageMeasures

LEVEL = 0.9
"""Of intervals: the share of true qualities that should lie inside."""

_LEAST_SLOPE = 0.05
"""The curve rises everywhere: calibration never turns an order round."""

_EDGE = 1e-3
"""Soft Dice nearer to 0 or 1 than this say no more than this."""

_LEAST_SCALE = 0.02
"""Of residuals: near 0 and 1 the curve itself is no surer than that."""

_PARTS = 10
"""Cross-fitting: each part is judged by a curve fitted to the others; few pairs are left out one by
one."""

_STEPS, _ENOUGH = 50, 1e-9
"""Of Newton's method: at most so many, until no parameter moves by more."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of a project before it has pairs of its own.

    Attributes:
        mean: Of intercept, slope, ``single`` and ``empty`` of a ``Calibration``.
        sd: How much projects differ in each.
        dispersion: Variance of a Dice around the curve, in units of m (1 - m).
        residuals: Size of residuals over their scale at evenly spaced quantiles; together they
            count as so many pairs in the width of intervals.
    """

    mean: tuple[float, float, float, float]
    sd: tuple[float, float, float, float]
    dispersion: float
    residuals: tuple[float, ...]


PRIOR = Prior(
    mean=(-0.385, 1.082, -0.483, 0.264),
    sd=(0.801, 0.303, 0.388, 0.528),
    dispersion=0.076,
    residuals=(0.026, 0.088, 0.14, 0.187, 0.246, 0.301, 0.361, 0.437, 0.547, 0.785),
)
"""Learnt by `python -m benchmarks.score` from eleven committees on four sets (ultrasound, nuclei,
glacier fronts, generated carotid arteries). Projects differ a lot, so a few pairs outweigh it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What was measured of a prediction, and the truth.

    Attributes:
        soft_dice: ``ImageMeasures.soft_dice`` in [0, 1].
        dice: True Dice of the image in [0, 1].
        is_single: Whether one fold alone predicted.
        is_empty: Whether nothing was predicted.
        weight: Above 0; 1 = counts as one pair.
    """

    soft_dice: float
    dice: float
    is_single: bool = False
    is_empty: bool = False
    weight: float = 1.0

    @classmethod
    def of(cls, measures: ImageMeasures, dice: float, weight: float = 1.0) -> Pair:
        """From stored measures."""
        return cls(measures.soft_dice, dice, measures.n_folds == 1, measures.is_empty, weight)


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected quality of a prediction, and the interval in which it lies 9 times of 10."""

    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve from soft Dice to expected Dice, with the width of its intervals.

    ``cap * expit(intercept + slope * logit(soft_dice) + ...)``.

    Attributes:
        intercept: See above, as all four in logits.
        slope: Above 0.
        single: Added for a single fold's prediction.
        empty: In the place of the intercept for a prediction with nothing in it.
        cap: The most that can be reached in [0, 1], see ``training.versions.working_size``.
        width: Half an interval over the scale of residuals at its place.
        n: Pairs it was fitted to.
        n_own: Of them predictions of the version itself that people were shown.
        form: Of this document.
    """

    intercept: float = PRIOR.mean[0]
    slope: float = PRIOR.mean[1]
    single: float = PRIOR.mean[2]
    empty: float = PRIOR.mean[3]
    cap: float = 1.0
    width: float = max(PRIOR.residuals)
    n: int = 0
    n_own: int = 0
    form: Literal[1] = 1

    def expected(self, measures: ImageMeasures) -> Expected:
        """Of one image."""
        score, low, high = self.of_pairs([Pair.of(measures, 0.0)])
        return Expected(float(score[0]), float(low[0]), float(high[0]))

    def of_pairs(self, pairs: Sequence[Pair]) -> tuple[Floats, Floats, Floats]:
        """(n,) float64 each: expected Dice, and the interval's lower and upper end, in [0, 1]."""
        mean = self.cap * expit(_features(pairs) @ self._theta)
        half = self.width * _scale(mean)
        return mean, np.maximum(mean - half, 0.0), np.minimum(mean + half, 1.0)

    def residuals(self, pairs: Sequence[Pair]) -> Floats:
        """(n,) float64: true Dice less the expected one, over the scale of residuals there."""
        return _residuals(pairs, self._theta, self.cap)

    @property
    def _theta(self) -> Floats:
        return np.array([self.intercept, self.slope, self.single, self.empty])


def fit(pairs: Sequence[Pair], *, cap: float = 1.0, prior: Prior = PRIOR) -> Calibration:
    """The most probable curve given pairs and prior, and a conformal width of its intervals.

    Logistic in logit space, the quasi-likelihood of a share with a Gaussian prior: with no pairs it
    is the prior, with many it is the pairs' own. The interval comes from residuals of pairs that
    the curve was not fitted to (cross-conformal: Vovk 2015), with the prior's among them while
    pairs are few.

    Args:
        pairs: Any number.
        cap: See ``Calibration``; above 0.
        prior: See ``Prior``.
    """
    theta = _fit(pairs, cap, prior)
    sizes = np.abs(_cross_residuals(pairs, cap, prior))
    weights = np.array([pair.weight for pair in pairs])
    intercept, slope, single, empty = theta.tolist()
    return Calibration(
        intercept,
        slope,
        single,
        empty,
        cap=cap,
        width=_conformal(
            np.concatenate([sizes, prior.residuals]),
            np.concatenate([weights, np.ones(len(prior.residuals))]),
        ),
        n=len(pairs),
    )


def is_due(n_then: int, n_now: int) -> bool:
    """Whether so many more pairs are worth a new calibration: at 10, 30, 60, 100, 150, ... pairs.

    The steps grow, for each pair moves the curve less than the one before, and every new curve
    sends scores anew.
    """
    return _step(n_now) > _step(n_then)


def cross_fitted(
    pairs: Sequence[Pair], *, cap: float = 1.0, prior: Prior = PRIOR
) -> tuple[Floats, Floats, Floats]:
    """What calibrations that have not seen them say of pairs; as ``Calibration.of_pairs``."""
    found = np.empty((3, len(pairs)))
    for part in _parts(len(pairs)):
        others = [pairs[i] for i in np.flatnonzero(~part)]
        curve = fit(others, cap=cap, prior=prior)
        found[:, part] = curve.of_pairs([pairs[i] for i in np.flatnonzero(part)])
    return found[0], found[1], found[2]


def pool_weights(of_pairs: Sequence[float], of_pool: Sequence[float]) -> Floats:
    """Weights that make pairs speak for a pool from which they were not drawn evenly.

    A queue takes what scores low: of low soft Dice there are more pairs than their share of the
    pool. The weight of a pair is that share over the pairs' own, in bins of the pool.

    Args:
        of_pairs: Soft Dice of n pairs.
        of_pool: Of the pool they were taken from, these included.

    Returns:
        (n,) float64 with mean 1, at most a factor of 5 apart from it before that.
    """
    soft, pool = np.asarray(of_pairs, np.float64), np.asarray(of_pool, np.float64)
    n_bins = min(len(soft) // 10, 10)
    if n_bins < 2 or not len(pool):
        return np.ones(len(soft))
    edges = np.unique(np.quantile(pool, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins, n = np.searchsorted(edges, soft), len(edges) + 1
    share = np.bincount(np.searchsorted(edges, pool), minlength=n) / len(pool)
    own = np.bincount(bins, minlength=n) / len(soft)
    weights = np.clip(share[bins] / own[bins], 0.2, 5.0)
    return np.asarray(weights / weights.mean())


def _step(n: int) -> int:
    """The largest k with 5 k (k + 1) <= n."""
    return (math.isqrt(5 * (5 + 4 * max(n, 0))) - 5) // 10


def _features(pairs: Sequence[Pair]) -> Floats:
    """(n, 4) float64: shows something, logit of soft Dice, single, empty."""
    rows = [(not p.is_empty, p.soft_dice, p.is_single, p.is_empty) for p in pairs]
    found = np.array(rows, np.float64).reshape(-1, 4)
    found[:, 1] = logit(np.clip(found[:, 1], _EDGE, 1 - _EDGE))
    return found


def _fit(pairs: Sequence[Pair], cap: float, prior: Prior) -> Floats:
    mean, precision = np.array(prior.mean), 1.0 / np.array(prior.sd) ** 2
    if not pairs:
        return mean
    features = _features(pairs)
    target = np.clip(np.array([pair.dice for pair in pairs]) / cap, 0.0, 1.0)
    weights = np.array([pair.weight for pair in pairs]) / prior.dispersion

    free = np.ones(len(mean), np.bool_)
    theta = _minimum(features, target, weights, (mean, precision), free)
    if theta[1] < _LEAST_SLOPE:
        free[1] = False
        held = np.where(free, mean, [0.0, _LEAST_SLOPE, 0.0, 0.0])
        theta = _minimum(features, target, weights, (held, precision), free)
    return theta


def _minimum(
    features: Floats,
    target: Floats,
    weights: Floats,
    prior: tuple[Floats, Floats],
    free: npt.NDArray[np.bool_],
) -> Floats:
    """Newton's method from the prior's mean, over the free parameters; the others stay there.

    The loss is convex and, by the prior, has one minimum. A step that makes it worse is halved.
    """
    mean, precision = prior

    def loss(theta: Floats) -> float:
        at, off = features @ theta, theta - mean
        return float(weights @ (np.logaddexp(0.0, at) - target * at) + off @ (precision * off) / 2)

    theta = mean.copy()
    value = loss(theta)
    some = features[:, free]
    for _ in range(_STEPS):
        share = expit(features @ theta)
        slope = some.T @ (weights * (share - target)) + (precision * (theta - mean))[free]
        curvature = (some.T * (weights * share * (1 - share))) @ some + np.diag(precision[free])
        step = np.zeros_like(theta)
        step[free] = np.linalg.solve(curvature, slope)
        while (new := loss(theta - step)) > value and np.abs(step).max() > _ENOUGH:
            step /= 2
        theta, value = theta - step, new
        if np.abs(step).max() <= _ENOUGH:
            break
    return theta


def _cross_residuals(pairs: Sequence[Pair], cap: float, prior: Prior) -> Floats:
    """(n,) float64: (true - expected) over its scale, by curves not fitted to the pair."""
    found = np.empty(len(pairs))
    for part in _parts(len(pairs)):
        theta = _fit([pairs[i] for i in np.flatnonzero(~part)], cap, prior)
        found[part] = _residuals([pairs[i] for i in np.flatnonzero(part)], theta, cap)
    return found


def _residuals(pairs: Sequence[Pair], theta: Floats, cap: float) -> Floats:
    mean = cap * expit(_features(pairs) @ theta)
    return np.asarray((np.array([pair.dice for pair in pairs]) - mean) / _scale(mean))


def _parts(n: int) -> list[npt.NDArray[np.bool_]]:
    """Which of n pairs are held out together."""
    n_parts = min(n, _PARTS) if n > 2 * _PARTS else n
    return [np.arange(n) % n_parts == k for k in range(n_parts)]


def _scale(mean: Floats) -> Floats:
    """How far a Dice in [0, 1] may lie from its mean: least at the ends."""
    return np.asarray(np.maximum(np.sqrt(mean * (1.0 - mean)), _LEAST_SCALE))


def _conformal(sizes: Floats, weights: Floats) -> float:
    """The least size that ``LEVEL`` of all, and of one more to come, do not exceed."""
    order = np.argsort(sizes)
    share = np.cumsum(weights[order]) / (weights.sum() + 1.0)
    at = int(np.searchsorted(share, LEVEL - 1e-12))
    return float(sizes[order][at]) if at < len(sizes) else math.inf
