from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from training.evaluation.bootstrap import paired_interval


def _own(n: int) -> list[str]:
    return [f"case {i}" for i in range(n)]


def test_it_tends_to_scipys_percentile_interval() -> None:
    differences = np.random.default_rng(1).normal(0.02, 0.1, 200)
    found = paired_interval(differences.tolist(), _own(200), seed=2)
    peer = bootstrap(
        (differences,),
        np.mean,
        confidence_level=0.9,  # two-sided: 5 % on each side
        n_resamples=10_000,
        method="percentile",
        random_state=3,
    ).confidence_interval
    assert found.mean == pytest.approx(differences.mean())
    assert found.low is not None and found.high is not None
    # With 200 cases the correction for few cases has all but gone.
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.001)


@pytest.mark.parametrize("n", [5, 10, 40])
def test_the_bounds_cover_as_often_as_they_say(n: int) -> None:
    """The truth lies above the lower bound in 95 % of samples, also for a handful of cases."""
    rng = np.random.default_rng(n)
    misses = 0
    for trial in range(300):
        sample = rng.normal(0.0, 0.1, n)
        low = paired_interval(sample.tolist(), _own(n), resamples=600, seed=trial).low
        assert low is not None
        misses += low > 0.0
    # Binomial(300, 0.05) stays within 4 and 28 in all but 1 of 1,000; the plain percentile
    # interval of 5 cases misses 10 % and would not.
    assert 4 <= misses <= 28


def test_cases_of_one_group_are_drawn_together() -> None:
    """Twenty frames of two patients are two pieces of evidence, not forty."""
    differences = [0.10] * 20 + [-0.06] * 20
    grouped = paired_interval(differences, ["a"] * 20 + ["b"] * 20)
    single = paired_interval(differences, _own(40))
    assert grouped.mean == single.mean == pytest.approx(0.02)
    assert (grouped.n_groups, grouped.n_cases) == (2, 40)
    assert (grouped.low, grouped.high) == pytest.approx((-0.06, 0.10))
    assert single.low is not None and single.low > -0.01


def test_one_group_has_no_interval() -> None:
    found = paired_interval([0.1, 0.3], ["p", "p"])
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == (None, None)


def test_what_can_not_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="0 differences"):
        paired_interval([], [])
    with pytest.raises(ValueError, match="2 differences with 1 groups"):
        paired_interval([0.1, 0.2], ["a"])


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=12),
    st.floats(-0.5, 0.5),
    st.integers(0, 3),
)
def test_bounds_hold_the_mean_and_move_with_it(
    differences: list[float], shift: float, seed: int
) -> None:
    groups = _own(len(differences))
    found = paired_interval(differences, groups, resamples=200, seed=seed)
    moved = paired_interval([d + shift for d in differences], groups, resamples=200, seed=seed)
    again = paired_interval(differences, groups, resamples=200, seed=seed)
    assert found == again
    assert found.low is not None and found.high is not None
    assert moved.low is not None and moved.high is not None
    assert min(differences) - 1e-9 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= max(differences) + 1e-9
    assert moved.low == pytest.approx(found.low + shift, abs=1e-9)
    assert moved.high == pytest.approx(found.high + shift, abs=1e-9)
