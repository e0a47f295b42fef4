"""How far expected qualities can be believed: figures over honest pairs, each with its n."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domain.reliability import Reliability

LEAST = 10
"""Pairs below which rank and interval figures say nothing; a bias needs half as many."""

LEAST_ECE = 20
_PER_BIN = 10
_MOST_BINS = 10
_WORST = 0.1

Floats = npt.NDArray[np.float64]


def reliability(
    expected: npt.ArrayLike,
    true: npt.ArrayLike,
    intervals: Sequence[tuple[float, float] | None] = (),
) -> Reliability:
    """All figures at once; None where so few pairs, or all alike, say nothing about one.

    Args:
        expected: n qualities in [0, 1] that were expected.
        true: The n true ones.
        intervals: (low, high) of each, None where there was none; empty: none at all.
    """
    score, truth = np.asarray(expected, np.float64), np.asarray(true, np.float64)
    n = len(score)
    inside = [
        low <= value <= high
        for value, (low, high) in (
            (value, interval)
            for value, interval in zip(truth.tolist(), intervals, strict=bool(intervals))
            if interval is not None
        )
    ]
    return Reliability(
        n=n,
        bias=float((score - truth).mean()) if n >= LEAST // 2 else None,
        ece=calibration_error(score, truth) if n >= LEAST_ECE else None,
        spearman=rank_correlation(score, truth) if n >= LEAST else None,
        auroc=auroc_of_worst(score, truth) if n >= LEAST else None,
        aurc=area_under_risk(score, truth) if n >= LEAST else None,
        coverage=float(np.mean(inside)) if len(inside) >= LEAST else None,
        n_intervals=len(inside),
    )


def calibration_error(expected: Floats, true: Floats) -> float:
    """Mean distance between expected and true over bins of about as many pairs; needs one pair.

    Bins are cut along the expected quality, equals together, with at least 10 pairs where there are
    so many. Fewer, larger bins hide errors, smaller ones measure noise.
    """
    from scipy.stats import rankdata

    n = len(expected)
    n_bins = max(min(n // _PER_BIN, _MOST_BINS), 1)
    ranks = rankdata(expected, "average")
    bins = np.minimum(((ranks - 0.5) * n_bins / n).astype(np.intp), n_bins - 1)
    gaps = np.bincount(bins, expected - true, n_bins)
    return float(np.abs(gaps).sum() / n)


def rank_correlation(expected: Floats, true: Floats) -> float | None:
    """Spearman's, in [-1, 1]; None where all of one side are equal."""
    from scipy.stats import spearmanr  # half a second, which a command line need not wait

    if len(expected) < 2 or np.ptp(expected) == 0 or np.ptp(true) == 0:
        return None
    return float(spearmanr(expected, true).statistic)


def auroc_of_worst(expected: Floats, true: Floats) -> float | None:
    """How surely one of the worst tenth has a lower expected quality than another.

    In [0, 1]: equals count half. The worst tenth are the lowest true qualities, a tenth of all
    rounded up, and all that equal the best of them. None where that is everything, or nothing.
    """
    from scipy.stats import rankdata

    n = len(true)
    if not n:
        return None
    is_worst = true <= np.sort(true)[math.ceil(_WORST * n) - 1]
    n_worst = int(is_worst.sum())
    if n_worst == n:
        return None
    ranks = rankdata(-expected)
    above = ranks[is_worst].sum() - n_worst * (n_worst + 1) / 2
    return float(above / (n_worst * (n - n_worst)))


def area_under_risk(expected: Floats, true: Floats) -> float | None:
    """Mean over k of the mean loss (1 - true) of the k with the highest expected quality.

    The area under the risk-coverage curve (Geifman and El-Yaniv 2017); equals are taken in random
    order, on average. None of nothing.
    """
    n = len(true)
    if not n:
        return None
    values, groups = np.unique(-expected, return_inverse=True)
    counts = np.bincount(groups, minlength=len(values))
    means = np.bincount(groups, 1.0 - true, len(values)) / counts
    risks = np.cumsum(np.repeat(means, counts)) / np.arange(1, n + 1)
    return float(risks.mean())
