from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from backend.pipeline.models import comparison
from backend.pipeline.models.comparison import DicePerCase, compare_cases, judge
from training.bootstrap import paired_interval

MARGIN = 0.01


def _dice(**values: float) -> DicePerCase:
    return {case: {"lumen": value, "wall": value} for case, value in values.items()}


@pytest.mark.parametrize(
    ("challenger", "champion", "is_promoted", "means", "n_cases"),
    [
        # The first version needs no better one.
        (_dice(a=0.1), None, True, (0.1, None), 1),
        (_dice(a=0.8, b=0.8), _dice(a=0.7, b=0.7), True, (0.8, 0.7), 2),
        (_dice(a=0.80), _dice(a=0.81), True, (0.80, 0.81), 1),  # within the margin
        (_dice(a=0.80), _dice(a=0.83), False, (0.80, 0.83), 1),
        # Only what both were measured on counts: c would have tipped it.
        (_dice(a=0.5, c=1.0), _dice(a=0.6, d=0.0), False, (0.5, 0.6), 1),
        # Other classes: nothing in common, and the old version can't serve the new labels.
        (_dice(a=0.3), {}, True, (0.3, None), 1),
        (_dice(a=0.3), _dice(b=0.9), True, (0.3, None), 1),
    ],
)
def test_judge(
    challenger: DicePerCase,
    champion: DicePerCase | None,
    is_promoted: bool,
    means: tuple[float, float | None],
    n_cases: int,
) -> None:
    verdict = judge(challenger, champion, margin=0.011)
    assert verdict.is_promoted is is_promoted
    assert (verdict.challenger, verdict.champion) == pytest.approx(means)
    assert verdict.n_cases == n_cases
    assert ("first version" in verdict.reason) is (champion is None)


def test_a_class_that_got_lost_is_not_outweighed_by_another() -> None:
    cases = [f"case {i}" for i in range(10)]
    champion = {c: {"lumen": 0.6, "wall": 0.8} for c in cases}
    challenger = {c: {"lumen": 0.9, "wall": 0.6 + 0.01 * i} for i, c in enumerate(cases)}
    verdict = judge(challenger, champion, MARGIN)
    assert verdict.difference is not None and verdict.difference > 0
    assert not verdict.is_promoted
    assert "wall is worse beyond doubt: 0.645 against 0.800 on 10 cases, -0.155 [" in verdict.reason


def test_a_rare_class_is_not_watered_down_by_the_cases_without_it() -> None:
    """Both right on 30 empty cases, clearly worse on the 4 that show the class."""
    champion = {f"empty {i}": {"wall": 1.0} for i in range(30)}
    champion |= {f"shown {i}": {"wall": 0.80} for i in range(4)}
    challenger = {f"empty {i}": {"wall": 1.0} for i in range(30)}
    challenger |= {f"shown {i}": {"wall": 0.74 + 0.005 * i} for i in range(4)}
    found = compare_cases(challenger, champion, {})
    assert found is not None
    assert found.difference > -MARGIN  # all cases counted: within the margin
    [wall] = found.classes
    assert (wall.n_cases, wall.n_alike) == (4, 30)
    assert wall.difference == pytest.approx(-0.0525)
    assert not judge(challenger, champion, MARGIN).is_promoted
    # A class seen where there is none is a difference, and counts.
    challenger["empty 0"] = {"wall": 0.0}
    again = compare_cases(challenger, champion, {})
    assert again is not None and again.classes[0].n_alike == 29


def test_a_class_in_no_case_says_nothing() -> None:
    both = {"a": {"lumen": 0.5, "wall": 1.0}, "b": {"lumen": 0.6, "wall": 1.0}}
    found = compare_cases(both, both, {})
    assert found is not None
    wall = found.classes[1]
    assert (wall.n_cases, wall.n_alike, wall.low, wall.high) == (0, 2, None, None)
    assert judge(both, both, MARGIN).is_promoted


def test_groups_are_counted_and_widen_the_bounds() -> None:
    champion = _dice(a=0.5, b=0.5, c=0.7, d=0.7)
    challenger = _dice(a=0.6, b=0.6, c=0.65, d=0.65)
    alone = judge(challenger, champion, MARGIN)
    grouped = judge(challenger, champion, MARGIN, {"a": "p", "b": "p", "c": "q", "d": "q"})
    assert (alone.n_groups, grouped.n_groups) == (4, 2)
    assert alone.low is not None and grouped.low is not None and grouped.low <= alone.low


@pytest.mark.parametrize("n_cases", [5, 12, 30])
def test_error_rates(n_cases: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rule promises, simulated: two classes, differences of 0.08 from case to case."""
    monkeypatch.setattr(comparison, "paired_interval", partial(paired_interval, resamples=200))
    trials, spread = 150, 0.08
    standard_error = spread / np.sqrt(2 * n_cases)  # of the mean of two independent classes

    def promoted(shift: tuple[float, float]) -> float:
        rng = np.random.default_rng(n_cases)
        count = 0
        for _ in range(trials):
            old = rng.uniform(0.5, 0.8, (n_cases, 2))
            new = np.clip(old + rng.normal(shift, spread, (n_cases, 2)), 0, 0.999)
            count += judge(_named(new), _named(old), MARGIN).is_promoted
        return count / trials

    # An equal one passes at least every second time: noise can't block the loop.
    assert promoted((0.0, 0.0)) > 0.5
    assert promoted((0.02, 0.02)) > 0.6
    # One that is worse by the margin and 1.64 standard errors, about 1 time in 20.
    worse = -MARGIN - 1.64 * standard_error
    assert promoted((worse, worse)) < 0.1
    assert promoted((-0.15, -0.15)) == 0.0
    # A class that is lost, though the other gains as much.
    assert promoted((0.3, -0.3)) < 0.05


def _named(values: np.ndarray) -> DicePerCase:
    return {
        f"case {i}": {"lumen": float(row[0]), "wall": float(row[1])} for i, row in enumerate(values)
    }
