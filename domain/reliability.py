"""Reliability: how far expected qualities can be believed, measured on honest pairs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reliability:
    """Figures of n (expected, true) qualities in [0, 1]; None where n says nothing about one.

    Attributes:
        n: Pairs.
        bias: Mean of expected less true, in [-1, 1]; above 0 = too good.
        ece: Mean distance between expected and true over bins of as many pairs, in [0, 1].
        spearman: Rank correlation, in [-1, 1].
        auroc: How surely the worst tenth has the lower expected quality, in [0, 1]; 0.5 = not.
        aurc: Mean loss (1 - true) of those kept when the lowest expected go first, over all numbers
            kept, in [0, 1]; lower is better.
        coverage: Share of true qualities inside their intervals, of ``n_intervals``.
        n_intervals: Pairs that had an interval.
    """

    n: int
    bias: float | None = None
    ece: float | None = None
    spearman: float | None = None
    auroc: float | None = None
    aurc: float | None = None
    coverage: float | None = None
    n_intervals: int = 0
