"""benchmarks.active: what wins, what is counted, and the generated images with a rare class."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from active_learning.effort import Effort
from backend.replay.options import BASELINES, ORACLE, RANDOM, STRATIFIED, ReplayOptions
from backend.replay.results import Full, Results
from backend.replay.rounds import Course, Round, Table
from benchmarks.active import __main__ as active
from benchmarks.active.__main__ import BUDGETS
from benchmarks.active.figures import Setting, settings, summarise, to_markdown
from benchmarks.material.rare_carotid import CLASS_NAMES, rare_carotid, with_plaque
from tests.unit.backend.replay.toy import toy_cases

N_SEEDS = 4


def played(gains: Mapping[str, float], *, full: float = 0.7) -> Results:
    """Courses in which each strategy gains so much over random from the second round on."""
    options = ReplayOptions(strategies=tuple(gains), seeds=N_SEEDS, rounds=3)
    courses = []
    for name in options.strategies:
        for seed in range(N_SEEDS):
            rng = np.random.default_rng([seed, sum(map(ord, name))])
            rounds = []
            for number in (1, 2, 3):
                dice = 0.3 + 0.1 * number + 0.03 * seed + rng.normal(0, 0.002)
                dice += gains.get(name, 0.0) * (number > 1)
                rounds.append(
                    Round(number, 8 * number, (), name, Effort(), 1.0, 2.0, dice, {"a": dice})
                )
            courses.append(Course(name, seed, tuple(rounds)))
    table = Table(toy_cases(70), toy_cases(30, prefix="test"), options)
    return Results(table, tuple(courses), dict.fromkeys(range(N_SEEDS), Full(70, full)))


def test_the_default_is_what_gains_most_overall_and_no_oracle() -> None:
    found = {
        Setting("a", "low"): played({"bald": 0.1, "typical": 0.02, ORACLE: 0.3}),
        Setting("a", "high"): played({"bald": 0.1, "typical": 0.02, ORACLE: 0.3}),
        Setting("b", "low"): played({"bald": -0.05, "typical": 0.02, ORACLE: 0.3}),
    }
    figures = summarise(found)
    assert figures["default"] == "bald"
    assert figures["wins"] == ["a/low", "a/high"]
    assert figures["losses"] == ["b/low"]
    assert figures["settings"] == ["a/low", "a/high", "b/low"]
    assert figures["significant"][ORACLE] == {"better": 3, "worse": 0}
    assert figures["significant"][STRATIFIED] == {"better": 0, "worse": 0}
    assert set(figures["datasets"]["a"]["aubc"]) == {*BASELINES, "bald", "typical"}
    text = to_markdown(figures)
    assert text.splitlines()[2].startswith(f"| {ORACLE} (oracle) |")
    assert text.splitlines()[-1].startswith(f"| {RANDOM} |")


def test_where_nothing_gains_random_is_the_default() -> None:
    figures = summarise({Setting("a", "low"): played({STRATIFIED: -0.1, "bald": -0.05})})
    assert figures["default"] == RANDOM
    assert figures["wins"] == figures["losses"] == []


def test_budgets_of_one_set_and_seed_are_one_value_of_the_whole() -> None:
    one = {Setting("a", "low"): played({"bald": 0.1})}
    both = one | {Setting("a", "high"): played({"bald": 0.1})}
    first, again = (summarise(found)["overall"]["bald"] for found in (one, both))
    assert first == again and first["n"] == N_SEEDS
    assert first["low"] < first["gain"] < first["high"] and first["p"] < 0.01
    other = summarise(both | {Setting("b", "low"): played({"bald": -0.1})})["overall"]["bald"]
    assert other["n"] == 2 * N_SEEDS
    assert other["low"] < 0 < other["high"]


def test_labels_of_what_was_not_reached() -> None:
    easy = {Setting("a", "low"): played({"bald": 0.1}, full=0.5)}
    figures = summarise(easy)
    assert figures["ratio"]["bald"] < 1
    assert figures["datasets"]["a"]["labels_to_95"][RANDOM] is not None
    hard = {Setting("a", "low"): played({"bald": 0.1}, full=0.9)}
    figures = summarise(hard)
    assert figures["datasets"]["a"]["labels_to_95"][RANDOM] is None
    assert figures["ratio"]["bald"] is None  # nobody can tell


def test_of_nothing_there_are_no_figures() -> None:
    figures = summarise({})
    assert figures["default"] is None and figures["settings"] == []
    assert to_markdown(figures)


def test_every_set_has_its_turn_with_a_budget_before_the_next() -> None:
    found = list(settings(("a", "b"), list(BUDGETS)))
    assert [one.name for one in found[:3]] == ["a/medium", "b/medium", "a/low"]
    assert len(found) == 6


def test_a_set_that_is_missing_is_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = active._parse(["--data", str(tmp_path), "--sets", "ultrasound", "carotid"])
    assert options.sets == ["carotid"]
    assert "Left out: ultrasound" in capsys.readouterr().out


@pytest.mark.slow
def test_rare_images_are_the_same_every_time_and_plaque_is_wall() -> None:
    first, again = (list(islice(rare_carotid(), 9)) for _ in range(2))
    for (name, sample, truth), (other_name, _, other) in zip(first, again, strict=True):
        assert name == other_name and np.array_equal(truth, other)
        assert np.array_equal(truth == 3, (truth == 3) & (sample.truth == 2))
        assert (truth == 3).any() == (sample.kind == "plaque")
        assert (truth > 0).any() == (sample.kind != "empty")
        assert np.array_equal(with_plaque(sample), truth)
    assert {sample.kind for _, sample, _ in first} >= {"plaque", "empty"}
    assert len(CLASS_NAMES) == 3
