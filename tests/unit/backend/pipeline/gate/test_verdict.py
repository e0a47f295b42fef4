from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.pipeline.gate.verdict import DicePerCase, compare_cases, in_brackets, judge
from training.evaluation import mean_over_cases, mean_over_classes

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
    champion: DicePerCase = {c: {"lumen": 0.6, "wall": 0.8} for c in cases}
    challenger: DicePerCase = {
        c: {"lumen": 0.9, "wall": 0.6 + 0.01 * i} for i, c in enumerate(cases)
    }
    verdict = judge(challenger, champion, MARGIN)
    assert verdict.difference is not None and verdict.difference > 0
    assert not verdict.is_promoted
    assert "wall is worse beyond doubt: 0.645 against 0.800 on 10 cases, -0.155 [" in verdict.reason


def test_a_rare_class_is_not_watered_down_by_the_cases_without_it() -> None:
    """Both right on 30 empty cases, worse on the 4 that show the class."""
    champion: DicePerCase = {f"empty {i}": {"wall": None} for i in range(30)}
    champion |= {f"shown {i}": {"wall": 0.80} for i in range(4)}
    challenger: DicePerCase = {f"empty {i}": {"wall": None} for i in range(30)}
    challenger |= {f"shown {i}": {"wall": 0.74 + 0.005 * i} for i in range(4)}
    found = compare_cases(challenger, champion, {})
    assert found is not None
    assert found.difference == pytest.approx(-0.0525)
    assert (found.challenger, found.champion) == pytest.approx((0.7475, 0.80))
    assert (found.n_cases, found.n_empty) == (34, 30)
    assert found.challenger_left_empty == found.champion_left_empty == 30
    [wall] = found.classes
    assert (wall.n_cases, wall.n_alike) == (4, 30)
    assert wall.difference == pytest.approx(-0.0525)
    verdict = judge(challenger, champion, MARGIN)
    assert not verdict.is_promoted
    assert (
        "on the same 4 held-out cases; of 30 images with nothing to find, "
        "30 rightly left empty against 30; all 34 together -0.053 [" in verdict.reason
    )


def test_what_is_seen_where_nothing_is_counts_as_a_share_of_all_images() -> None:
    champion: DicePerCase = {f"empty {i}": {"wall": None} for i in range(30)}
    champion |= {f"shown {i}": {"wall": 0.80} for i in range(20)}
    challenger: DicePerCase = {**champion, "empty 0": {"wall": 0.0}}
    found = compare_cases(challenger, champion, {})
    assert found is not None
    # One image of 50; the others are as they were.
    assert found.difference == pytest.approx(-1 / 50)
    assert (found.challenger_left_empty, found.champion_left_empty) == (29, 30)
    assert (found.challenger, found.champion) == pytest.approx((0.8, 0.8))
    [wall] = found.classes
    # The silent side is given its own mean there: each side's figure is that of other reports.
    assert (wall.n_cases, wall.n_alike) == (21, 29)
    assert (wall.challenger, wall.champion) == pytest.approx((0.8 * 20 / 21, 0.8))
    assert wall.difference == pytest.approx(wall.challenger - wall.champion)  # type: ignore[operator]
    verdict = judge(challenger, champion, MARGIN)
    assert not verdict.is_promoted
    # Both means are .800, so the sentence must say where the difference comes from.
    assert "29 rightly left empty against 30; all 50 together -0.020 [" in verdict.reason
    # The other way round it is a gain.
    assert judge(champion, challenger, MARGIN).is_promoted
    back = compare_cases(champion, challenger, {})
    assert back is not None and back.difference == pytest.approx(1 / 50)


def test_a_class_invented_among_others_costs_its_image() -> None:
    champion: DicePerCase = {f"case {i}": {"lumen": 0.8, "debris": None} for i in range(10)}
    challenger: DicePerCase = {**champion, "case 0": {"lumen": 0.8, "debris": 0.0}}
    found = compare_cases(challenger, champion, {})
    assert found is not None
    assert found.difference == pytest.approx(-0.4 / 10)
    lumen, debris = found.classes
    assert lumen.difference == pytest.approx(0.0)
    # It was never there, so nothing is known of how the champion draws it.
    assert (debris.challenger, debris.champion, debris.difference) == (0.0, None, None)
    assert (debris.n_cases, debris.n_alike) == (1, 9)


def test_a_class_in_no_case_says_nothing() -> None:
    both: DicePerCase = {"a": {"lumen": 0.5, "wall": None}, "b": {"lumen": 0.6, "wall": None}}
    found = compare_cases(both, both, {})
    assert found is not None
    wall = found.classes[1]
    assert (wall.n_cases, wall.n_alike, wall.low, wall.high) == (0, 2, None, None)
    assert (wall.challenger, wall.champion, wall.difference) == (None, None, None)
    assert (found.challenger, found.champion) == pytest.approx((0.55, 0.55))
    assert judge(both, both, MARGIN).is_promoted


def test_a_class_without_an_example_lifts_no_run_and_stretches_no_margin() -> None:
    """As it was seen: 'debris' is added, nobody draws it, and what is there gets worse."""
    champion: DicePerCase = {f"case {i}": {"lumen": 0.875} for i in range(8)}
    worse: DicePerCase = {case: {"lumen": 0.860 - 0.001 * i} for i, case in enumerate(champion)}
    challenger: DicePerCase = {case: {**row, "debris": None} for case, row in worse.items()}
    # The run's figure is that of what is there: it fell.
    run = mean_over_classes(mean_over_cases(challenger))
    assert run == pytest.approx(mean_over_classes(mean_over_cases(worse)))
    assert run is not None and run < 0.86
    # Both know the class by now, or the challenger alone: the margin is the same.
    for before in (champion, {case: {**row, "debris": None} for case, row in champion.items()}):
        verdict = judge(challenger, before, MARGIN)
        plain = judge(worse, champion, MARGIN)
        assert (verdict.is_promoted, plain.is_promoted) == (False, False)
        assert verdict.difference == plain.difference == pytest.approx(-0.0185)
        assert (verdict.low, verdict.high) == (plain.low, plain.high)
        assert verdict.classes[0] == plain.classes[0]


@given(
    st.dictionaries(
        st.sampled_from([f"case {i}" for i in range(8)]),
        st.lists(st.none() | st.floats(0, 1), min_size=4, max_size=4),
        max_size=8,
    ),
    st.permutations(["lumen", "wall"]),
)
@settings(max_examples=40, deadline=None)
def test_absent_classes_and_their_order_change_nothing(
    rows: dict[str, list[float | None]], order: list[str]
) -> None:
    def side(first: int, *more: str) -> DicePerCase:
        return {
            case: dict(zip(("lumen", "wall"), row[first : first + 2], strict=True))
            | dict.fromkeys(more)
            for case, row in rows.items()
        }

    compare = partial(compare_cases, groups={}, resamples=100)
    plain = compare(side(0), side(2))
    more = compare(side(0, "debris"), side(2, "debris"))
    first, second = ({c: {n: row[n] for n in order} for c, row in side(k).items()} for k in (0, 2))
    turned = compare(first, second)
    verdict = judge(side(0), side(2), MARGIN, resamples=100)
    with_debris = judge(side(0, "debris"), side(2, "debris"), MARGIN, resamples=100)
    assert verdict == replace(with_debris, classes=verdict.classes)
    if plain is None or more is None or turned is None:
        assert not rows and plain is more is turned is None
        return
    assert replace(more, classes=()) == replace(plain, classes=())
    assert more.classes[:2] == plain.classes
    assert more.classes[2].difference is None
    assert turned.difference == pytest.approx(plain.difference)
    assert {c.name: c.n_cases for c in turned.classes} == {c.name: c.n_cases for c in plain.classes}
    for row in plain.classes:
        if row.difference is not None:
            assert row.challenger is not None and row.champion is not None
            assert row.difference == pytest.approx(row.challenger - row.champion, abs=1e-9)
    json.dumps(asdict(plain), allow_nan=False)


def test_only_empty_images() -> None:
    empty: DicePerCase = {f"case {i}": {"wall": None} for i in range(4)}
    found = compare_cases(empty, empty, {})
    assert found is not None
    assert (found.challenger, found.champion, found.difference) == (1.0, 1.0, 0.0)
    assert judge(empty, empty, MARGIN).is_promoted
    alarm: DicePerCase = {**empty, "case 0": {"wall": 0.0}}
    verdict = judge(alarm, empty, MARGIN)
    assert (verdict.challenger, verdict.difference) == pytest.approx((0.75, -0.25))
    assert not verdict.is_promoted
    assert judge(empty, None, MARGIN).challenger == 1.0


def test_classes_of_one_side_are_named_and_not_compared() -> None:
    verdict = judge({"a": {"lumen": 0.8, "debris": 0.1}}, {"a": {"lumen": 0.8}}, MARGIN)
    assert verdict.is_promoted
    assert "only one of the two knows it: debris" in verdict.reason
    assert [row.name for row in verdict.classes] == ["lumen"]


def test_groups_are_counted_and_widen_the_bounds() -> None:
    champion = _dice(a=0.5, b=0.5, c=0.7, d=0.7)
    challenger = _dice(a=0.6, b=0.6, c=0.65, d=0.65)
    alone = judge(challenger, champion, MARGIN)
    grouped = judge(challenger, champion, MARGIN, {"a": "p", "b": "p", "c": "q", "d": "q"})
    assert (alone.n_groups, grouped.n_groups) == (4, 2)
    assert alone.low is not None and grouped.low is not None and grouped.low <= alone.low


@pytest.mark.slow
@pytest.mark.parametrize("n_cases", [5, 20])
def test_error_rates(n_cases: int) -> None:
    """What the rule promises, simulated: two classes, differences of 0.08 from case to case."""
    trials, spread = 60, 0.08
    standard_error = spread / np.sqrt(2 * n_cases)  # of the mean of two independent classes

    def promoted(shift: tuple[float, float]) -> float:
        rng = np.random.default_rng(n_cases)
        count = 0
        for _ in range(trials):
            old = rng.uniform(0.5, 0.8, (n_cases, 2))
            new = np.clip(old + rng.normal(shift, spread, (n_cases, 2)), 0, 0.999)
            count += judge(_named(new), _named(old), MARGIN, resamples=200).is_promoted
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


def _named(values: npt.NDArray[Any]) -> DicePerCase:
    return {
        f"case {i}": {"lumen": float(row[0]), "wall": float(row[1])} for i, row in enumerate(values)
    }


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    assert in_brackets(-0.0001, -0.002, 0.0002) == "0.000 [-0.002, 0.000]"
    assert in_brackets(0.01, None, None) == "+0.010"
