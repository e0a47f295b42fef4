"""How quality grows with labels: forecasts that hold as often as they say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.control_arm import Estimate
from active_learning.learning_curve import (
    LEVEL,
    CurvePoint,
    Forecast,
    LearningCurve,
    enough,
)

GRID = 1e-3
"""Between neighbouring curves of the grid."""


def law(n: int) -> float:
    return 0.85 - 0.9 / math.sqrt(n)


def points(labels: list[int]) -> list[CurvePoint]:
    return [CurvePoint(n, law(n)) for n in labels]


def test_a_power_law_is_found_again() -> None:
    curve = LearningCurve(points([8, 16, 32, 64, 128, 256]))
    for found, n in zip(curve.band([64, 512, 1024]), [64, 512, 1024], strict=True):
        assert found.value == pytest.approx(law(n), abs=0.01)
        assert found.low - GRID <= law(n) <= found.high + GRID
    gain = curve.gain(256)
    assert gain.value == pytest.approx(law(512) - law(256), abs=0.01)


def test_few_points_say_little_more_say_more() -> None:
    def width(labels: list[int]) -> float:
        found = LearningCurve(points(labels)).gain(100)
        return found.high - found.low

    assert width([8]) > width([8, 16, 32]) > width([8, 16, 32, 64, 128])
    assert width([8]) > 0.2


def test_a_flat_curve_gains_nothing_more() -> None:
    flat = [CurvePoint(n, 0.8) for n in (40, 60, 80, 100, 150)]
    gain = LearningCurve(flat).gain(50)
    assert gain.low == pytest.approx(0.0, abs=0.002)
    assert gain.value < 0.015


def power(rng: np.random.Generator) -> Callable[[int], float]:
    a, c = rng.uniform(0.5, 0.98), rng.uniform(0.15, 1.2)
    b = rng.uniform(0.1, 0.9) * a * 10**c
    return lambda n: max(a - b * n**-c, 0.0)


def gompertz(rng: np.random.Generator) -> Callable[[int], float]:
    a, b, tau = rng.uniform(0.6, 0.97), rng.uniform(0.5, 3), rng.uniform(15, 80)
    return lambda n: float(a * np.exp(-b * np.exp(-n / tau)))


def jump(rng: np.random.Generator) -> Callable[[int], float]:
    """A rare class is seen from some number of labels on."""
    below, at, height = power(rng), rng.uniform(20, 150), rng.uniform(0.02, 0.10)
    return lambda n: float(min(below(n) + height / (1 + np.exp(-(n - at) / 8)), 1.0))


def logarithm(rng: np.random.Generator) -> Callable[[int], float]:
    a, slope = rng.uniform(0.3, 0.6), rng.uniform(0.02, 0.1)
    return lambda n: min(a + slope * math.log(n / 10), 0.97)


def plateau(rng: np.random.Generator) -> Callable[[int], float]:
    a = rng.uniform(0.5, 0.95)
    return lambda n: a


@pytest.mark.slow
@pytest.mark.parametrize("kind", [power, gompertz, jump, logarithm, plateau])
def test_intervals_hold_as_often_as_they_say(
    kind: Callable[[np.random.Generator], Callable[[int], float]],
) -> None:
    """Curves of the families and of none; noise like that of trainings; 2 to 12 versions."""
    rng = np.random.default_rng(5)
    hits = {20: 0, 100: 0}
    n_curves = 40
    for _ in range(n_curves):
        quality = kind(rng)
        labels = 10 + rng.choice([5, 10, 20]) * np.arange(rng.integers(2, 13))
        noise = rng.uniform(0.003, 0.025)
        seen = [
            CurvePoint(int(n), float(np.clip(quality(n) + noise * rng.standard_normal(), 0, 1)))
            for n in labels
        ]
        curve = LearningCurve(seen)
        for more in hits:
            truth = quality(curve.labels + more) - quality(curve.labels)
            found = curve.gain(more)
            hits[more] += found.low - 0.001 <= truth <= found.high + 0.001
    for n_hits in hits.values():
        assert n_hits / n_curves >= LEVEL - 0.07


@pytest.mark.slow
def test_the_band_of_many_versions_on_many_cases_is_not_too_sure() -> None:
    """They pick one curve of the grid, and the true one lies between two."""
    rng = np.random.default_rng(0)
    labels = np.geomspace(20, 5000, 20).astype(int).tolist()
    held = []
    for _ in range(8):
        limit, rate, missing = rng.uniform([0.7, 0.2, 0.1], [0.97, 1.2, 0.5])
        true = [limit - missing * (n / labels[0]) ** -rate for n in labels]
        points = [
            CurvePoint(n, float(rng.normal(quality, 0.005)), 0.1 / n**0.5)
            for n, quality in zip(labels, true, strict=True)
        ]
        band = LearningCurve(points).band(labels)
        held += [one.low <= quality <= one.high for one, quality in zip(band, true, strict=True)]
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize("error", [0.0, 0.003, 0.05])
@pytest.mark.parametrize("labels", [[8], [16, 32, 64, 128], [20, 40, 80, 160, 320, 640, 1280]])
def test_band_and_chance_are_of_one_distribution(labels: list[int], error: float) -> None:
    """What the band leaves out above is the chance that it is above, and so for what is enough."""
    curve = LearningCurve([CurvePoint(n, law(n) if n > 8 else 0.6, error) for n in labels])
    [now] = curve.band([curve.labels])
    tail = (1 - LEVEL) / 2
    assert curve.chance_of(now.low) == pytest.approx(1 - tail, abs=0.02)
    assert curve.chance_of(now.high) == pytest.approx(tail, abs=0.02)
    assert tail < curve.chance_of(now.value) < 1 - tail
    # However sure the versions are, a target within the band is neither certain nor out of reach.
    inside = np.linspace(now.low, now.high, 9)
    chances = [curve.chance_of(float(quality)) for quality in inside]
    assert chances == sorted(chances, reverse=True) and chances[0] < 0.98 and chances[-1] > 0.02
    assert enough(curve, target=now.low - 0.002) is not None
    assert enough(curve, target=now.high) is None
    assert (curve.chance_of(0.0), curve.chance_of(1.01)) == (1.0, 0.0)


def test_what_lies_beside_the_curve_drops_out_of_a_gain() -> None:
    curve = LearningCurve(points([16, 32, 64, 128, 256, 512, 1024]))
    [now] = curve.band([curve.labels])
    gain = curve.gain(20)
    assert now.high - now.low > 0.015 > 0.01 > gain.high - gain.low
    [later] = curve.band([curve.labels + 20])
    assert later.value == pytest.approx(now.value + gain.value)
    assert later.high - later.low >= now.high - now.low - GRID


def test_errors_that_versions_share_widen_the_band_and_not_the_gain() -> None:
    """Few cases: where the curve lies is not known, how it rises is."""
    few = [CurvePoint(n, law(n)) for n in (16, 32, 64, 128)]
    shared = LearningCurve(few, np.full((4, 4), 0.05**2))
    alone = LearningCurve(few, np.diag(np.full(4, 0.05**2)))
    none = LearningCurve(few)

    def width(found: Forecast) -> float:
        return found.high - found.low

    assert width(shared.band([128])[0]) > 3 * width(none.band([128])[0])
    assert width(shared.gain(50)) < width(alone.gain(50))
    assert shared.chance_of(law(128) - 0.02) < none.chance_of(law(128) - 0.02)


def test_points_and_their_covariance_are_sorted_together() -> None:
    some = [CurvePoint(64, law(64)), CurvePoint(0, 0.9), CurvePoint(16, law(16))]
    errors = np.diag([1e-6, 1.0, 0.1])
    curve = LearningCurve(some, errors)
    straight = LearningCurve([some[2], some[0]], np.diag([0.1, 1e-6]))
    assert curve.gain(20) == straight.gain(20)


def test_where_no_curve_would_go_a_gain_may_still_surprise() -> None:
    curve = LearningCurve(points([8, 16, 32, 64, 128, 256]))
    found = curve.gain(100)
    assert found.high > 1.5 * found.value
    assert found.low < 0.6 * found.value


def test_what_its_few_cases_leave_open_counts() -> None:
    sure = [CurvePoint(n, law(n), 0.0) for n in (8, 16, 32)]
    unsure = [CurvePoint(n, law(n), 0.1) for n in (8, 16, 32)]
    widths = [f.high - f.low for f in (LearningCurve(p).band([32])[0] for p in (sure, unsure))]
    assert widths[1] > widths[0]


def test_points_that_say_nothing() -> None:
    with pytest.raises(ValueError, match="needs a version"):
        LearningCurve([])
    with pytest.raises(ValueError, match="needs a version"):
        LearningCurve([CurvePoint(0, 0.5), CurvePoint(5, float("nan"))])
    with pytest.raises(ValueError, match="-3"):
        LearningCurve([CurvePoint(8, 0.5)]).gain(-3)
    with pytest.raises(ValueError, match="at 1 label"):
        LearningCurve([CurvePoint(8, 0.5)]).band([0])


def test_versions_that_get_worse_give_no_loss() -> None:
    curve = LearningCurve([CurvePoint(10, 0.8), CurvePoint(20, 0.7), CurvePoint(40, 0.6)])
    assert 0.0 <= curve.gain(100).low <= curve.gain(100).high < 0.2


def test_perfect_and_hopeless() -> None:
    assert LearningCurve([CurvePoint(10, 1.0), CurvePoint(20, 1.0)]).gain(50).high < 0.05
    assert LearningCurve([CurvePoint(10, 0.0), CurvePoint(20, 0.0)]).band([20])[0].value < 0.1


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60_000), st.floats(0, 1)), min_size=1, max_size=6),
    st.integers(0, 500),
)
def test_any_history(history: list[tuple[int, float]], more: int) -> None:
    curve = LearningCurve([CurvePoint(n, q) for n, q in history])
    gain = curve.gain(more)
    assert 0.0 <= gain.low <= gain.high <= 1.0
    assert gain.low - 1e-9 <= gain.value <= gain.high + 1e-9 or more == 0
    assert curve.gain(more + 50).value >= gain.value - 1e-9


def test_labels_to_a_quality() -> None:
    curve = LearningCurve(points([8, 16, 32, 64, 128, 256]))
    n = curve.labels_to(0.8)
    assert n is not None
    assert n == pytest.approx((0.9 / 0.05) ** 2, rel=0.15)
    assert curve.labels_to(0.99) is None


def test_enough_by_the_target() -> None:
    curve = LearningCurve(points([8, 16, 32, 64, 128]))
    assert enough(curve) is None
    assert enough(curve, target=0.95) is None
    found = enough(curve, target=0.7)
    assert found is not None
    assert "0.7" in found.reason
    assert found.labels == 128


def test_the_control_arm_has_a_say_in_whether_a_target_is_reached() -> None:
    curve = LearningCurve(points([8, 16, 32, 64, 128]))
    missed, reached = Estimate(40, 0.6, 0.55, 0.65), Estimate(40, 0.9, 0.86, 0.93)
    assert enough(curve, target=0.7, on_pool=missed) is None
    found = enough(curve, target=0.85, on_pool=reached)
    assert found is not None and "0.86 at least, by 40 tasks" in found.reason
    unsure = Estimate(4, 0.6, 0.2, 0.9)
    assert enough(curve, target=0.7, on_pool=unsure) == enough(curve, target=0.7) is not None


def test_enough_by_gain_per_hour() -> None:
    curve = LearningCurve([CurvePoint(n, 0.8) for n in (40, 60, 80, 100, 150, 200, 300)])
    assert enough(curve, least_gain_per_hour=0.01) is None  # nobody knows what a label takes
    assert enough(curve, least_gain_per_hour=1e-6, seconds_per_label=30) is None
    assert enough(curve, least_gain_per_hour=0.2, seconds_per_label=60) is not None


def test_a_curve_at_its_top_stays_a_quality() -> None:
    points = [CurvePoint(n, 1.0, 0.001) for n in range(10, 3_000, 15)]
    for found in LearningCurve(points).band([10, 2_995, 3_000, 30_000]):
        assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_what_an_hour_adds_is_never_nothing_for_sure_and_no_target_certain() -> None:
    falling = [CurvePoint(n, 0.9 - n / 3000, 0.001) for n in range(100, 2_000, 100)]
    done = enough(LearningCurve(falling), least_gain_per_hour=0.001, seconds_per_label=30)
    assert done is not None and "adds less than 0.0001 to the quality" in done.reason
    high = enough(LearningCurve([CurvePoint(50, 0.95, 0.001)] * 9), target=0.8)
    assert high is not None and "(probability above 99%)" in high.reason
