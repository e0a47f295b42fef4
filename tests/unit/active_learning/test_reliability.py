import random
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_learning.reliability import (
    area_under_risk,
    auroc_of_worst,
    calibration_error,
    rank_correlation,
    reliability,
)
from domain.reliability import Reliability

qualities = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1)),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_few_pairs_say_nothing(n: int) -> None:
    assert reliability([0.5] * n, [0.4] * n, [(0.0, 1.0)] * n) == Reliability(n, n_intervals=n)


def test_a_perfect_score() -> None:
    true = np.linspace(0.1, 0.99, 40)
    found = reliability(true, true, [(value, value) for value in true.tolist()])
    assert (found.n, found.bias, found.ece, found.auroc) == (40, 0.0, 0.0, 1.0)
    assert found.spearman == pytest.approx(1)
    # Of the best k their mean loss, and of that the mean over k.
    losses = 1 - np.sort(true)[::-1]
    assert found.aurc == pytest.approx(np.mean(np.cumsum(losses) / np.arange(1, 41)))
    assert (found.coverage, found.n_intervals) == (1.0, 40)


def test_a_constant_score_ranks_nothing() -> None:
    true = np.linspace(0, 1, 40)
    found = reliability(np.full(40, 0.6), true)
    assert found.bias == pytest.approx(0.1)
    assert found.spearman is None
    assert found.auroc == 0.5
    assert found.aurc == pytest.approx(0.5)
    assert (found.coverage, found.n_intervals) == (None, 0)


def test_when_all_are_as_good_nobody_is_worst() -> None:
    found = reliability(np.linspace(0, 1, 20), np.full(20, 0.9))
    assert (found.spearman, found.auroc) == (None, None)
    assert found.aurc == pytest.approx(0.1)


def test_a_score_turned_round() -> None:
    true = np.linspace(0, 1, 20)
    found = reliability(1 - true, true)
    assert found.spearman == pytest.approx(-1)
    assert found.auroc == 0.0


def test_errors_that_cancel_are_no_bias_but_a_calibration_error() -> None:
    """Half are 0.2 too high, half 0.1 too low: 0.05 and 0.15."""
    expected = np.array([0.9] * 20 + [0.4] * 20)
    true = np.array([0.7] * 20 + [0.5] * 20)
    found = reliability(expected, true)
    assert found.bias == pytest.approx(0.05)
    assert found.ece == pytest.approx(0.15)


def test_coverage_counts_those_that_had_an_interval() -> None:
    intervals: list[tuple[float, float] | None] = [(0.4, 0.6)] * 9 + [(0.6, 0.9)] * 3 + [None] * 4
    found = reliability([0.5] * 16, [0.5] * 16, intervals)
    assert (found.coverage, found.n_intervals) == (0.75, 12)


def test_intervals_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        reliability([0.5] * 3, [0.5] * 3, [(0.0, 1.0)])


@given(qualities)
def test_auroc_counts_pairs_of_a_bad_and_another(pairs: list[tuple[float, float]]) -> None:
    expected, true = (np.array(side) for side in zip(*pairs, strict=True))
    worst_of = np.sort(true)[-(-len(true) // 10) - 1]
    bad, good = expected[true <= worst_of], expected[true > worst_of]
    found = auroc_of_worst(expected, true)
    if not len(good):
        assert found is None
        return
    wins = [(b < g) + 0.5 * (b == g) for b in bad for g in good]
    assert found == pytest.approx(np.mean(wins))


@given(qualities.filter(lambda pairs: len(pairs) <= 6))
def test_aurc_is_the_mean_over_all_orders_of_equals(pairs: list[tuple[float, float]]) -> None:
    areas = []
    for order in permutations(pairs):
        if all(a[0] >= b[0] for a, b in combinations(order, 2)):
            losses = np.array([1 - true for _, true in order])
            areas.append(np.mean(np.cumsum(losses) / np.arange(1, len(losses) + 1)))
    expected, true = (np.array(side) for side in zip(*pairs, strict=True))
    assert area_under_risk(expected, true) == pytest.approx(np.mean(areas))


@given(qualities, st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(
    pairs: list[tuple[float, float]], random: random.Random
) -> None:
    turned = random.sample(pairs, len(pairs))
    figures = []
    for some in (pairs, turned):
        expected, true = (np.array(side) for side in zip(*some, strict=True))
        figures.append(
            [
                calibration_error(expected, true),
                area_under_risk(expected, true),
                auroc_of_worst(expected, true) or 0.0,
                rank_correlation(expected, true) or 0.0,
            ]
        )
    assert figures[0] == pytest.approx(figures[1])


@given(qualities)
def test_ranges(pairs: list[tuple[float, float]]) -> None:
    expected, true = (np.array(side) for side in zip(*pairs, strict=True))
    bias = abs(float((expected - true).mean()))
    assert bias - 1e-9 <= calibration_error(expected, true) <= 1
    area = area_under_risk(expected, true)
    assert area is not None
    assert -1e-9 <= area <= 1 + 1e-9


def test_nothing_at_all() -> None:
    nothing = np.array([])
    assert auroc_of_worst(nothing, nothing) is None
    assert area_under_risk(nothing, nothing) is None
    assert rank_correlation(nothing, nothing) is None
