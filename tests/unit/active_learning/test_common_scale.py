"""Versions on one scale: what is compared is the versions, not the cases that came in between."""

from __future__ import annotations

import math

import numpy as np
import pytest

from active_learning.common_scale import LEAST_SHARED, on_one_scale


def cases(**dice: float) -> dict[str, float]:
    return dice


def test_harder_cases_hide_no_gain() -> None:
    first = cases(a=0.8, b=0.7, c=0.9)
    second = cases(a=0.9, b=0.8, c=1.0, d=0.3, e=0.2)  # a tenth better; the new ones are hard
    found = on_one_scale([first, second], 1)
    assert found.quality.tolist() == pytest.approx([0.54, 0.64])
    assert found.n_cases == 5
    assert found.n_shared.tolist() == [3, 3]


def test_the_error_of_two_versions_is_that_of_their_paired_differences() -> None:
    rng = np.random.default_rng(0)
    ease, gain = rng.uniform(0.2, 0.7, 12), rng.normal(0.1, 0.03, 12)
    names = [f"case {i}" for i in range(12)]
    first = dict(zip(names, ease.tolist(), strict=True))
    second = dict(zip(names, (ease + gain).tolist(), strict=True))
    found = on_one_scale([first, second], 1)
    assert found.quality[1] - found.quality[0] == pytest.approx(gain.mean())
    v = found.covariance
    of_difference = v[0, 0] + v[1, 1] - 2 * v[0, 1]
    assert of_difference == pytest.approx(gain.var(ddof=1) / 12)
    # The mean itself is as unsure as cases differ.
    assert v[1, 1] == pytest.approx((ease + gain).var(ddof=1) / 12)


def test_versions_are_compared_through_others() -> None:
    first = cases(a=0.5, b=0.4, c=0.3)
    second = cases(a=0.6, b=0.5, c=0.4, d=0.9, e=0.8, f=0.7)
    third = cases(d=1.0, e=0.9, f=0.8)  # shares nothing with the first
    found = on_one_scale([first, second, third], 2)
    assert found.quality.tolist() == pytest.approx([0.7, 0.8, 0.9])


def test_versions_without_enough_in_common_are_not_compared() -> None:
    shared = {f"case {i}": 0.5 for i in range(LEAST_SHARED - 1)}
    newest = {**shared, "x": 0.9, "y": 0.8}
    found = on_one_scale([shared, newest], 1)
    assert math.isnan(found.quality[0])
    assert found.quality[1] == pytest.approx((0.5 * (LEAST_SHARED - 1) + 1.7) / 4)
    assert (found.covariance[0] == 0).all()
    assert found.n_shared[1] == 0


def test_a_changed_label_is_another_case() -> None:
    """As when an expert redraws half of the first labels: these say nothing about a gain."""
    first = {"a before": 0.9, "b": 0.5, "c": 0.5, "d": 0.5}
    second = {"a after": 0.1, "b": 0.6, "c": 0.6, "d": 0.6}
    found = on_one_scale([first, second], 1)
    assert found.quality[1] - found.quality[0] == pytest.approx(0.1)


def test_one_version_and_one_case() -> None:
    alone = on_one_scale([cases(a=0.4, b=0.6)], 0)
    assert alone.quality.tolist() == pytest.approx([0.5])
    assert alone.covariance[0, 0] == pytest.approx(0.01)
    single = on_one_scale([cases(a=0.7)], 0)
    assert single.quality.tolist() == [0.7]
    assert math.sqrt(single.covariance[0, 0]) > 0.2  # one case tells hardly anything


def test_without_a_case_nothing_can_be_compared() -> None:
    with pytest.raises(ValueError, match="has none"):
        on_one_scale([{}, cases(a=0.5)], 0)


@pytest.mark.slow
def test_a_set_that_a_strategy_grows_misleads_a_mean_and_not_the_scale() -> None:
    """60 projects that label what is predicted worst, 8 versions each, every image in [0, 1]."""
    naive, scaled, hits = [], [], 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        ease = rng.normal(0, 0.12, 200)
        labelled = [int(i) for i in rng.choice(200, 10, replace=False)]
        found: list[dict[str, float]] = []
        truths = []
        for _ in range(8):
            truths.append(0.85 - 0.9 / math.sqrt(len(labelled)))
            dice = np.clip(truths[-1] + ease + rng.normal(0, 0.05, 200), 0, 1)
            found.append({str(i): float(dice[i]) for i in labelled})
            predicted = dice + rng.normal(0, 0.05, 200)
            predicted[labelled] = np.inf
            rest = [int(i) for i in np.argsort(predicted)]
            labelled += rest[:8]
        scale = on_one_scale(found, 7)
        truth = truths[-1] - truths[0]
        means = [float(np.mean(list(one.values()))) for one in found]
        naive.append(means[-1] - means[0] - truth)
        scaled.append(float(scale.quality[-1] - scale.quality[0]) - truth)
        v = scale.covariance
        error = math.sqrt(v[0, 0] + v[-1, -1] - 2 * v[0, -1])
        hits += abs(scaled[-1]) <= 1.645 * error
    assert np.mean(naive) < -0.05  # the mean over each version's own cases loses half of the gain
    assert abs(np.mean(scaled)) < 0.01
    assert hits / 60 >= 0.8
