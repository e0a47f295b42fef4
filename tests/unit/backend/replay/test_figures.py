from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backend.replay.figures import (
    against,
    aubc,
    band,
    censored_median,
    holm,
    paired_p,
    penalties,
    reached_at,
)

DICE = st.floats(0, 1)
CURVES = st.lists(st.tuples(st.floats(0.5, 50), DICE), min_size=1, max_size=8).map(
    lambda rows: (np.cumsum([row[0] for row in rows]).tolist(), [row[1] for row in rows])
)


def test_area_of_a_constant_and_of_a_line() -> None:
    assert aubc([8, 16, 40], [0.7, 0.7, 0.7]) == pytest.approx(0.7)
    # Under a straight line it is the mean of the ends, however the rounds lie.
    assert aubc([0, 1, 10], [0.0, 0.1, 1.0]) == pytest.approx(0.5)
    assert aubc([8], [0.3]) == 0.3


@given(CURVES)
def test_area_lies_between_the_worst_and_the_best_round(
    curve: tuple[list[float], list[float]],
) -> None:
    area = aubc(*curve)
    assert min(curve[1]) - 1e-9 <= area <= max(curve[1]) + 1e-9


@pytest.mark.parametrize(
    ("budgets", "quality"), [([], []), ([1, 2], [0.1]), ([2, 2], [0.1, 0.2]), ([2, 1], [0.1, 0.2])]
)
def test_what_is_no_curve_is_refused(budgets: list[float], quality: list[float]) -> None:
    with pytest.raises(ValueError, match="rising budgets"):
        aubc(budgets, quality)


def test_when_a_quality_is_reached() -> None:
    budgets, quality = [8, 16, 24], [0.4, 0.6, 0.5]
    assert reached_at(budgets, quality, 0.3) == 8  # at once
    assert reached_at(budgets, quality, 0.55) == pytest.approx(14)
    assert reached_at(budgets, quality, 0.6) == 16
    assert reached_at(budgets, quality, 0.61) is None


@given(CURVES, DICE)
def test_a_lower_aim_is_never_reached_later(
    curve: tuple[list[float], list[float]], target: float
) -> None:
    high, low = reached_at(*curve, target), reached_at(*curve, target / 2)
    assert high is None or (low is not None and low <= high + 1e-9)


def test_medians_of_what_was_not_reached() -> None:
    assert censored_median([]) is None
    assert censored_median([3.0, 1.0, None]) == 3.0
    assert censored_median([3.0, 1.0, None, None]) is None
    assert censored_median([None]) is None
    assert censored_median([1.0, 2.0]) == 1.5


def test_band_is_students() -> None:
    values = [0.5, 0.6, 0.55, 0.7]
    found = band(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert band([0.4]).low is None


@given(st.lists(st.tuples(DICE, DICE), min_size=2, max_size=10))
def test_p_is_scipys_paired_test(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    differences = np.subtract(ours, theirs)
    found = paired_p(ours, theirs)
    assert found == paired_p(theirs, ours)
    if not differences.any():
        assert found == 1.0
    elif np.ptp(differences) > 1e-9:
        assert found == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, abs=1e-9)


def test_p_without_spread() -> None:
    assert paired_p([0.5], [0.1]) == 1.0  # one pair says nothing
    assert paired_p([0.5, 0.75], [0.25, 0.5]) == 0.0
    # Rounding is no difference, however alike all seeds are in it.
    assert paired_p([0.1 + 0.2, 0.3, 0.1 + 0.2], [0.3, 0.3, 0.3]) == 1.0
    assert paired_p([0.6 + 1e-16, 0.7, 0.8 + 2e-16], [0.6 - 1e-16, 0.7 - 2e-16, 0.8]) == 1.0


def test_holm_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_only_raises(p_values: list[float]) -> None:
    found = holm(p_values)
    assert all(
        p <= q <= min(1.0, len(p_values) * max(p, 0) + 1e-12) or q <= 1
        for p, q in zip(p_values, found, strict=True)
    )
    assert all(q >= p for p, q in zip(p_values, found, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()


def test_comparisons_are_paired_by_the_seeds_that_both_have() -> None:
    values = {
        "random": {0: 0.50, 1: 0.60, 2: 0.55},
        "good": {0: 0.60, 1: 0.71, 2: 0.64, 3: 0.1},
        "same": {0: 0.50, 1: 0.60, 2: 0.55},
        "other seeds": {7: 0.9},
    }
    found = against(values, "random")
    assert found.keys() == {"good", "same"}
    assert found["good"].n == 3
    assert found["good"].difference == pytest.approx(0.1)
    p = stats.ttest_rel([0.60, 0.71, 0.64], [0.50, 0.60, 0.55]).pvalue
    assert found["good"].p == pytest.approx(p)
    assert found["good"].p_holm == pytest.approx(2 * p)  # of two comparisons
    assert found["good"].is_better and not found["good"].is_worse
    assert not found["same"].is_better
    assert against(values, "missing") == {}


def test_penalties_count_the_rounds_that_were_won() -> None:
    curves = {
        "a": {0: [0.5, 0.8, 0.9], 1: [0.5, 0.81, 0.9], 2: [0.5, 0.79, 0.9]},
        "b": {0: [0.5, 0.4, 0.9], 1: [0.5, 0.42, 0.9], 2: [0.5, 0.41, 0.9]},
    }
    found = penalties(curves)
    assert found["a"]["b"] == pytest.approx(1 / 3)
    assert found["b"]["a"] == 0.0
    assert found["a"]["a"] == 0.0


def test_penalties_of_unequal_courses_and_of_none() -> None:
    assert penalties({"a": {0: [0.5]}, "b": {1: [0.5]}})["a"]["b"] is None
    # One seed tests nothing, so nobody is unbeaten by it.
    assert penalties({"a": {0: [0.9, 0.9]}, "b": {0: [0.1, 0.1]}})["b"]["a"] is None
    longer = {"a": {0: [0.9, 0.9], 1: [0.8, 0.9]}, "b": {0: [0.1], 1: [0.15]}}
    assert penalties(longer)["a"]["b"] in (0.0, 1.0)


def test_what_would_have_stood_out_and_with_how_many_seeds() -> None:
    rng = np.random.default_rng(3)
    theirs = dict(enumerate(rng.normal(0.5, 0.05, 6).tolist()))
    ours = {seed: value + 0.02 + rng.normal(0, 0.02) for seed, value in theirs.items()}
    found = against({"random": theirs, "ours": ours, "same": theirs}, "random")["ours"]
    assert found.detectable is not None
    for difference, is_beyond in (
        (found.detectable * 1.01, True),
        (found.detectable * 0.99, False),
    ):
        moved = {s: v + difference - found.difference for s, v in ours.items()}
        again = against({"random": theirs, "ours": moved, "same": theirs}, "random")["ours"]
        assert again.is_better is is_beyond
    needed = found.pairs_needed(100)
    assert needed is not None and needed > 1
    one = against({"random": {0: 0.5}, "ours": {0: 0.9}}, "random")["ours"]
    assert (one.detectable, one.pairs_needed(99), one.is_better) == (None, None, False)
    level = against({"random": theirs, "same": theirs}, "random")["same"]
    assert (level.detectable, level.pairs_needed(99)) == (0.0, None)
