"""What a replay comes to, from made-up courses: each sentence, and the world's oddities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.effort import Effort
from backend.pipeline.basis.query_strategy import WITH_MODEL
from backend.replay.conclusion import ENOUGH_SEEDS, MOST_SEEDS, conclusion
from backend.replay.images.library import Loop
from backend.replay.options import BASELINES, ORACLE, RANDOM, STRATIFIED, ReplayOptions
from backend.replay.results import Full, Results
from backend.replay.rounds import Course, Round, Table
from tests.unit.backend.replay.toy import toy_cases

POOL = 100
RISING = (0.40, 0.50, 0.56, 0.60)


def played(
    gains: Mapping[str, float] | None = None,
    *,
    seeds: int = 4,
    base: Sequence[float] = RISING,
    full: float | None = 0.70,
    noise: float = 0.004,
    strategies: Sequence[str] = ("lowest_score", "bald"),
    rounds: int | None = None,
) -> Results:
    """Courses in which each strategy gains so much over random from the second round on.

    Seeds begin at another Dice each, as they do; strategies differ by ``noise`` from one another.
    """
    options = ReplayOptions(
        strategies=tuple(strategies), seeds=seeds, rounds=rounds or len(base), steps=200
    )
    courses = []
    for name in options.strategies:
        for seed in range(seeds):
            rng = np.random.default_rng([seed, sum(map(ord, name))])
            dices = [
                dice + 0.02 * (seed % 3) + ((gains or {}).get(name, 0.0) + rng.normal(0, noise))
                * (number > 0)
                for number, dice in enumerate(base)
            ]  # fmt: skip
            courses.append(Course(name, seed, rounds_of(name, dices)))
    table = Table(toy_cases(POOL), toy_cases(30, prefix="test"), options)
    reached = {} if full is None else {s: Full(POOL, full + 0.02 * (s % 3)) for s in range(seeds)}
    return Results(table, tuple(courses), reached)


def rounds_of(name: str, dices: Sequence[float | None]) -> tuple[Round, ...]:
    return tuple(
        Round(n, 8 * n, (), name, Effort(), 10.0, 20.0, dice, {"common": dice, "rare": dice})
        for n, dice in enumerate(dices, start=1)
    )


def changed(results: Results, dice: Callable[[Round], float | None]) -> Results:
    """With another Dice in every round."""
    courses = tuple(
        replace(c, rounds=rounds_of(c.strategy, [dice(one) for one in c.rounds]))
        for c in results.courses
    )
    return Results(results.table, courses, results.full)


def said(results: Results, loop: Loop | None = None) -> str:
    lines = conclusion(results, loop)
    assert 2 <= len(lines) <= 5
    assert lines[-1].startswith("Next: ")
    for line in lines:
        assert line[0].isupper() or line.split()[0] in results.table.options.strategies
        assert line.endswith(".") and "nan" not in line and "None" not in line
        assert len(line) < 200
    return "\n".join(lines)


def test_who_gains_and_what_that_saves() -> None:
    text = said(played({"lowest_score": 0.06}), Loop("lowest_score"))
    assert "lowest_score gains over random: a Dice 0.0" in text and "with 4 seeds" in text
    # Random's last Dice, 0.60, is reached between the second round (0.56) and the third (0.62).
    found = re.search(
        r"With about (\d+) labels it reaches what random reaches with 32: (\d+)%", text
    )
    assert found is not None
    assert 21 <= int(found[1]) <= 22 and int(found[2]) == pytest.approx(
        100 * (1 - 21.5 / 32), abs=2
    )
    assert "nothing to change, the project's lowest_score is it" in text


def test_the_default_is_named() -> None:
    text = said(played({STRATIFIED: 0.06}))
    assert f"nothing to change, the default (auto: {STRATIFIED}) is it" in text
    assert WITH_MODEL == STRATIFIED


def test_another_than_the_present_one_gains() -> None:
    results = played({"bald": 0.06})
    assert "Next: nnloop connect PROJECT --query-strategy bald." in said(results)
    assert "--query-strategy bald. the project's" not in said(results)
    here = Loop("lowest_score")
    assert "--query-strategy bald.\n" in said(results, here) + "\n"
    unplayed = said(results, Loop("typical"))
    assert "--query-strategy bald; the project's typical was not played." in unplayed
    assert "nothing to change, the project's bald is it" in said(results, Loop("bald"))


def test_the_present_one_is_as_good_as_the_best() -> None:
    results = played({"bald": 0.0602, "lowest_score": 0.06})
    text = said(results, Loop("lowest_score"))
    assert "; so do lowest_score." in text or "; so do bald." in text
    assert "nothing to change" in text
    apart = played({"bald": 0.12, "lowest_score": 0.05})
    assert "--query-strategy bald" in said(apart, Loop("lowest_score"))


def test_a_gain_that_nobody_would_notice_is_called_little() -> None:
    assert "gains little over random" in said(played({"bald": 0.006}, noise=0.0005))
    assert "gains over random" in said(played({"bald": 0.06}, noise=0.0005))


def test_nobody_gains_and_what_would_have_shown() -> None:
    text = said(played(noise=0.03))
    assert "No strategy gains over random beyond chance with these 4 seeds" in text
    assert "would not have shown: that is no proof" in text
    assert "--seeds" in text and "nothing speaks against the default" in text
    clear = said(played(noise=0.001))
    assert "would have shown, so none is worth a change" in clear and "--seeds" not in clear


def test_seeds_that_are_asked_for_are_more_than_there_were() -> None:
    for seeds in (2, 3, 5, 15, MOST_SEEDS, MOST_SEEDS + 4):
        text = said(played(noise=0.05, seeds=seeds))
        if "--seeds " in text:
            wanted = int("".join(c for c in text.split("--seeds ")[1].split()[0] if c.isdigit()))
            assert seeds < wanted <= MOST_SEEDS


def test_who_is_worse_is_named_and_the_present_one_is_taken_out() -> None:
    results = played({"lowest_score": -0.08})
    text = said(results, Loop("lowest_score"))
    assert "Worse than random beyond chance: lowest_score." in text
    assert "Next: nnloop connect PROJECT --query-strategy random." in text
    assert "query-strategy random" not in said(results, Loop("bald"))
    both = said(played({"lowest_score": -0.08, "bald": 0.08}))
    assert "bald gains" in both and "Worse than random beyond chance: lowest_score." in both


def test_only_the_oracle_gains() -> None:
    text = said(played({ORACLE: 0.10}))
    assert "Who knew the classes beforehand would gain 0.0" in text
    assert "gains over random:" not in text and ORACLE not in text


def test_one_seed_tells_nothing_however_large_the_difference() -> None:
    text = said(played({"bald": 0.3}, seeds=1))
    assert "One seed can't tell a gain from chance: bald differs from random by +0." in text
    assert f"Next: --seeds {ENOUGH_SEEDS}." in text and "gains over" not in text


def test_one_round_compares_nothing() -> None:
    text = said(played(base=(0.4,)))
    assert "strategies choose from the second training on" in text and "--rounds 4" in text
    # All that there is was labelled at once.
    table = played().table
    small = replace(table, pool=toy_cases(8))
    courses = tuple(replace(c, rounds=c.rounds[:1]) for c in played().courses)
    text = said(Results(small, courses, played().full))
    assert "fewer images at the --start" in text


def test_steps_too_few_for_labels_to_show() -> None:
    text = said(played(base=(0.44, 0.445, 0.45, 0.445), full=0.45))
    assert "0.46 with the first 8 labels, and 0.47 with all 100" in text
    assert "With 200 steps they are probably cut off" in text and "such as 400" in text
    easy = said(played(base=(0.94, 0.945, 0.945, 0.95), full=0.95))
    assert "nothing that a choice could gain" in easy and "--steps" not in easy


def test_far_below_what_the_project_reaches() -> None:
    own = Loop("auto", "carotid-v7", 0.90)
    assert "project's own carotid-v7 0.90; more --steps may change" in said(played(), own)
    assert "Next: more --steps, such as 400" in said(played(), own)
    gaining = said(played({"bald": 0.06}), own)
    assert "bald gains" in gaining and "Doubtful" in gaining
    for fine in (Loop("auto", "v7", 0.75), Loop("auto", "v7", None), Loop("auto"), None):
        assert "Doubtful" not in said(played(), fine)


def test_chance_itself_gains_nothing_from_the_labels_that_were_played() -> None:
    flat = said(played(base=(0.50, 0.505, 0.50, 0.505), full=0.70))
    assert "from 8 to 32 labels drawn by chance the Dice changes by +0.0" in flat
    assert "--rounds 8" in flat

    # A rise on average that seeds contradict is none.
    def noisy(one: Round) -> float:
        return 0.5 + (0.2 if one.number > 1 else 0.0) * float(next(signs))

    signs = iter(np.tile([1.0, -0.5, 1.0, -0.8, 0.3], 100).tolist())
    assert "does not stand out of the noise" in said(changed(played(full=0.7), noisy))


def test_nothing_found_at_all() -> None:
    nothing = changed(played(full=0.0, seeds=3), lambda _: 0.0)
    nothing = Results(nothing.table, nothing.courses, dict.fromkeys(range(3), Full(POOL, 0.0)))
    text = said(nothing)
    assert "with 100 labels networks reach a Dice of 0.00, so they find nothing" in text
    assert nothing.labels_to_target() == {name: {} for name in nothing.rounds}
    without_full = Results(nothing.table, nothing.courses, {})
    assert "with 32 labels networks" in said(without_full)


@pytest.mark.parametrize("dice", [None, math.nan])
def test_what_is_no_number_counts_for_nothing(dice: float | None) -> None:
    results = changed(played(), lambda _: dice)
    assert results.rounds == {} and results.n_unmeasured == len(results.courses)
    assert "Nothing can be told: 30 images to measure on, and none shows a class" in said(results)
    assert results.to_json()["strategies"] == {}
    # All labels without a figure are no aim that is reached at once.
    unknown = Results(played().table, played().courses, dict.fromkeys(range(4), Full(POOL, dice)))
    assert unknown.targets == {} and unknown.reachable == {}
    assert "No strategy gains" in said(unknown)


def test_one_course_without_figures_is_left_out_alone() -> None:
    results = played({"bald": 0.06})
    broken = tuple(
        replace(c, rounds=rounds_of("bald", [None] * 4))
        if (c.strategy, c.seed) == ("bald", 0)
        else c
        for c in results.courses
    )
    found = Results(results.table, broken, results.full)
    assert set(found.rounds["bald"]) == {1, 2, 3} and found.n_unmeasured == 1
    assert "bald gains" in said(found)


def test_all_the_same() -> None:
    same = changed(played(), lambda one: 0.4 + 0.1 * one.number)
    assert "all strategies came to the very same" in said(same)


def test_nothing_is_played_yet_and_only_baselines() -> None:
    results = played()
    assert "not played to its end" in said(Results(results.table, (), {}))
    alone = tuple(c for c in results.courses if c.strategy == RANDOM)
    assert "no strategy is played to its end" in said(Results(results.table, alone, results.full))
    oracle = tuple(c for c in results.courses if c.strategy in (RANDOM, ORACLE))
    assert "no strategy is played to its end" in said(Results(results.table, oracle, results.full))
    other = tuple(c for c in results.courses if c.strategy != RANDOM)
    assert "random, which all are" in said(Results(results.table, other, results.full))
    baselines = said(played(strategies=BASELINES), Loop("lowest_score"))
    assert STRATIFIED in baselines and "nothing speaks against" not in baselines


def test_what_the_start_reaches_is_not_called_saved() -> None:
    high = played({"bald": 0.2}, base=(0.60, 0.61, 0.62, 0.58), full=0.9)
    assert "saved" not in said(high).replace("What it saves in labels can't be told", "")
    reached = played(base=(0.695, 0.71, 0.72, 0.73), full=0.72)
    assert reached.is_reached_at_once(RANDOM)
    assert not played().is_reached_at_once(RANDOM)


def per_strategy(dices: Mapping[str, Sequence[float]], seeds: int = 4) -> Results:
    """Courses with just these Dice, a little apart from seed to seed."""
    options = ReplayOptions(strategies=tuple(dices), seeds=seeds, rounds=4, steps=200)
    courses = [
        Course(name, seed, rounds_of(name, [dice + 0.001 * seed for dice in dices.get(name, ())]))
        for name in options.strategies
        for seed in range(seeds)
        if name in dices
    ]
    table = Table(toy_cases(POOL), toy_cases(30, prefix="test"), options)
    return Results(table, tuple(courses), {})


def test_a_gain_that_saves_no_label_is_not_called_a_saving_of_nothing() -> None:
    random, early = (0.40, 0.50, 0.70, 0.70), (0.40, 0.68, 0.69, 0.71)
    text = said(per_strategy({RANDOM: random, "bald": early}))
    assert "bald gains" in text
    assert "With about 28 labels it reaches what random reaches with 24: no label saved." in text


def test_chance_that_falls_is_no_noise() -> None:
    falling = said(played(base=(0.8, 0.7, 0.6, 0.5), full=None))
    assert "from 8 to 32 labels drawn by chance the Dice falls by 0." in falling
    assert "noise" not in falling


def test_no_gain_is_asked_for_that_no_dice_could_show() -> None:
    text = said(played(noise=0.3, seeds=2))
    assert "Even the greatest gain would not have shown" in text
    assert "Less than about 0." in said(played(noise=0.03))


def test_a_difference_without_a_digit_has_no_sign() -> None:
    assert "differs from random by 0.000 Dice" in said(
        per_strategy({RANDOM: RISING, "bald": (0.40, 0.5001, 0.56, 0.60)}, seeds=1)
    )
    text = said(played({"bald": 0.0004}, noise=0.00002))
    assert "bald gains little over random: a Dice less than 0.001 higher" in text


def test_another_start_is_asked_for_where_one_of_several_could_be_measured() -> None:
    results = played(noise=0.02)
    one = tuple(c for c in results.courses if c.strategy != "bald" or c.seed == 0)
    assert "One seed" not in said(Results(results.table, one, results.full))
    alone = tuple(c for c in one if c.strategy in (RANDOM, "bald"))
    assert "Next: --seeds 8." in said(Results(results.table, alone, results.full))


def test_all_labels_are_compared_with_the_first_ones_of_the_same_seeds() -> None:
    results = played(base=(0.44, 0.445, 0.45, 0.445), full=0.45)
    text = said(Results(results.table, results.courses, {2: results.full[2]}))
    assert "0.48 with the first 8 labels, and 0.49 with all 100" in text


@settings(max_examples=60, deadline=None)
@given(
    seeds=st.integers(1, 5),
    n_rounds=st.integers(1, 4),
    level=st.floats(0, 1),
    rise=st.floats(-0.3, 0.3),
    gain=st.floats(-0.5, 0.5),
    noise=st.sampled_from([0.0, 0.001, 0.02, 0.2]),
    full=st.none() | st.floats(0, 1),
    own=st.none() | st.floats(0, 1),
)
def test_whatever_is_played_there_are_two_to_five_sentences(
    seeds: int, n_rounds: int, level: float, rise: float, gain: float, noise: float,
    full: float | None, own: float | None,
) -> None:  # fmt: skip
    base = [level + rise * number for number in range(n_rounds)]
    results = played({"bald": gain}, seeds=seeds, base=base, full=full, noise=noise)
    results = changed(results, lambda one: float(np.clip(one.dice or 0.0, 0, 1)))
    text = said(results, Loop("bald", "v1", own))
    if seeds == 1 or n_rounds == 1:
        assert "gains over random:" not in text and "Worse than" not in text
