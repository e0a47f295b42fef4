from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.strategies import STRATEGY_NAMES
from backend.replay.images.embeddings import Embeddings
from backend.replay.options import ORACLE, RANDOM, STRATIFIED, ReplayOptions
from backend.replay.rounds import (
    Course,
    Round,
    Table,
    chooses_its_start,
    clicks,
    known_quality,
    play,
    pool_of,
    quality_of,
)
from converters.bookkeeping.documents import read_document
from tests.unit.backend.replay.toy import ToyTeam, toy_cases

OPTIONS = ReplayOptions(start=4, batch=3, rounds=4)


def table(n: int = 30, options: ReplayOptions = OPTIONS, *, embedded: bool = False) -> Table:
    pool = toy_cases(n)
    embeddings = None
    if embedded:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(n, 6)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        embeddings = Embeddings({c.content_hash: v for c, v in zip(pool, vectors, strict=True)})
    return Table(pool, toy_cases(12, prefix="test"), options, embeddings)


def labelled_of(course: Course) -> list[str]:
    return [case_id for one in course.rounds for case_id in one.batch]


@pytest.mark.parametrize("name", [*STRATEGY_NAMES, ORACLE])
@pytest.mark.parametrize("embedded", [False, True], ids=["plain", "embedded"])
def test_every_strategy_plays_to_its_end(name: str, embedded: bool, tmp_path: Path) -> None:
    played: list[Round] = []
    course = play(table(embedded=embedded), name, 0, ToyTeam(), tmp_path / "c.json", played.append)
    assert [one.n_labelled for one in course.rounds] == [4, 7, 10, 13]
    assert len(set(labelled_of(course))) == 13  # none twice
    assert not any(case_id.startswith("test") for case_id in labelled_of(course))
    assert tuple(played) == course.rounds
    assert read_document(tmp_path / "c.json", Course) == course
    first, *later = course.rounds
    assert first.seconds == first.scratch_s
    assert all(one.seconds < one.scratch_s for one in later)


def test_the_start_is_the_same_for_all_and_another_for_another_seed(tmp_path: Path) -> None:
    starts = {
        (name, seed): play(table(), name, seed, ToyTeam(), tmp_path / f"{name}{seed}")
        .rounds[0]
        .batch
        for name in (RANDOM, STRATIFIED, ORACLE, "lowest_score", "bald")
        for seed in (0, 1)
    }
    assert len({batch for (_, seed), batch in starts.items() if seed == 0}) == 1
    assert starts[RANDOM, 0] != starts[RANDOM, 1]


def test_smaller_starts_are_the_beginning_of_larger_ones(tmp_path: Path) -> None:
    small = play(table(), RANDOM, 0, ToyTeam(), tmp_path / "a").rounds[0].batch
    options = replace(OPTIONS, start=9)
    large = play(table(30, options), RANDOM, 0, ToyTeam(), tmp_path / "b").rounds[0].batch
    assert large[:4] == small


def test_only_those_that_need_no_model_choose_their_start() -> None:
    with_vectors, without = table(embedded=True), table()
    assert {n for n in (*STRATEGY_NAMES, ORACLE) if chooses_its_start(n, with_vectors)} >= {
        "typical"
    }
    assert not any(chooses_its_start(n, without) for n in (*STRATEGY_NAMES, ORACLE))
    for name in (RANDOM, STRATIFIED, ORACLE, "lowest_score", "entropy"):
        assert not chooses_its_start(name, with_vectors)


def test_a_start_without_any_class_grows_until_one_is_there(tmp_path: Path) -> None:
    pool = tuple(replace(case, shares=(0.0, 0.0)) for case in toy_cases(20))
    pool = (*pool[:13], replace(pool[13], shares=(0.0, 0.3)), *pool[14:])
    course = play(
        Table(pool, toy_cases(5, prefix="test"), OPTIONS), RANDOM, 0, ToyTeam(), tmp_path / "c"
    )
    assert course.rounds[0].batch[-1] == "case013"


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_a_batch_larger_than_what_is_left(n: int, tmp_path: Path) -> None:
    course = play(table(n), "lowest_score", 0, ToyTeam(), tmp_path / "c")
    assert len(labelled_of(course)) == n
    assert course.rounds[-1].n_labelled == n
    assert len(course.rounds) == {1: 1, 3: 1, 5: 2, 9: 3}[n]
    assert play(table(n), "lowest_score", 0, ToyTeam(), tmp_path / "c") == course


@settings(max_examples=15, deadline=None)
@given(dies_at=st.integers(1, 7), name=st.sampled_from([RANDOM, "lowest_score", ORACLE]))
def test_killed_anywhere_it_ends_as_if_it_had_not_been(
    dies_at: int, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    expected = play(table(), name, 3, ToyTeam(), folder / "whole.json")
    team = ToyTeam()
    team.dies_at = dies_at
    try:
        play(table(), name, 3, team, folder / "cut.json")
    except KeyboardInterrupt:
        assert len(team.looked) == dies_at
    assert play(table(), name, 3, ToyTeam(), folder / "cut.json") == expected


def test_random_and_the_oracle_need_no_prediction_of_the_pool(tmp_path: Path) -> None:
    for name, n_looks in ((RANDOM, 4), (ORACLE, 4), ("lowest_score", 7)):
        team = ToyTeam()
        play(table(), name, 0, team, tmp_path / name)
        assert len(team.looked) == n_looks


def test_the_oracle_sees_the_rare_class_more_often_than_random(tmp_path: Path) -> None:
    def n_rare(name: str) -> int:
        by_id = {case.case_id: case for case in table(60).pool}
        found = 0
        for seed in range(10):
            course = play(table(60), name, seed, ToyTeam(), tmp_path / f"{name}{seed}")
            found += sum(
                by_id[case_id].shares[1] > 0 for one in course.rounds[1:] for case_id in one.batch
            )
        return found

    assert n_rare(ORACLE) > 1.3 * n_rare(RANDOM)


def test_networks_are_forgotten_but_for_the_shared_start(tmp_path: Path) -> None:
    team = ToyTeam()
    course = play(table(), "lowest_score", 0, team, tmp_path / "c")
    assert [len(names) for names in team.forgotten] == [7, 10, 13]
    assert all(names[:4] == course.rounds[0].batch for names in team.forgotten)


def test_a_strategy_sees_nothing_of_what_was_not_looked_at() -> None:
    board = table()
    pool = pool_of(board, board.pool[4:], {}, board.pool[:4])
    assert np.isnan(pool.quality).all() and np.isnan(pool.class_shares).all()
    assert len(pool) == 26 and pool.task_ids[0] == 4
    assert pool.progress == pytest.approx(4 / 13)


def test_other_rules_or_images_are_other_courses() -> None:
    keys = {
        table().key,
        table(29).key,
        table(30, replace(OPTIONS, batch=4)).key,
        table(30, replace(OPTIONS, steps=50)).key,
        table(embedded=True).key,
    }
    assert len(keys) == 5
    assert table(30, replace(OPTIONS, seeds=9, strategies=("bald",))).key == table().key
    # How much is labelled says nothing about training on everything.
    assert table(30, replace(OPTIONS, batch=4)).full_key == table().full_key
    assert table(30, replace(OPTIONS, steps=50)).full_key != table().full_key


def test_a_class_that_no_test_image_shows_is_not_measured() -> None:
    both, one, none = ((0.2, 0.1),), ((0.2, 0.0), (0.0, 0.0)), ((0.0, 0.0),)
    test = {n: tuple(replace(toy_cases(1)[0], shares=s) for s in rows)
            for n, rows in (("both", both), ("one", one), ("none", none))}  # fmt: skip
    assert quality_of({"common": 0.8, "rare": 0.4}, test["both"]) == pytest.approx(0.6)
    # The rare class is seen where it is not, or not: the figure is of the same classes.
    assert quality_of({"common": 0.8, "rare": 0.0}, test["one"]) == 0.8
    assert quality_of({"common": 0.8, "rare": None}, test["one"]) == 0.8
    assert quality_of({"common": 0.0, "rare": None}, test["none"]) is None
    assert quality_of({"common": None, "rare": None}, test["none"]) is None
    assert quality_of({}, ()) is None


def test_without_a_class_in_the_test_set_a_round_has_no_figure(tmp_path: Path) -> None:
    empty = tuple(replace(case, shares=(0.0, 0.0)) for case in toy_cases(5, prefix="test"))
    file = tmp_path / "c"
    course = play(Table(toy_cases(20), empty, OPTIONS), RANDOM, 0, ToyTeam(), file)
    assert [one.dice for one in course.rounds] == [None] * 4
    assert read_document(file, Course) == course


@pytest.mark.parametrize(
    ("dice", "per_class", "expected"),
    [
        (0.0, {"common": None, "rare": None}, None),  # as it was written once
        (0.0, {"common": 0.0, "rare": None}, 0.0),
        (float("nan"), {"common": 0.3}, None),
        (0.3, {}, 0.3),
    ],
)
def test_what_is_a_figure(
    dice: float, per_class: dict[str, float | None], expected: float | None
) -> None:
    assert known_quality(dice, per_class) == expected


def test_clicks_belong_to_seed_and_image() -> None:
    draws = {(s, c): clicks(s, c).random() for s in (0, 1) for c in ("a", "b")}
    assert len(set(draws.values())) == 4
    assert clicks(0, "a").random() == draws[0, "a"]
