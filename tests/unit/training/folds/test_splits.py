from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotEnoughCasesError
from training.folds.splits import (
    FoldAssignment,
    assign_folds,
    choose_folds,
    held_out_cases,
    to_splits,
    usable_folds,
)

group_sets = st.sets(st.text(min_size=1, max_size=8), max_size=40)


@given(st.lists(group_sets, min_size=1, max_size=50), st.integers(1, 6))
def test_folds_never_move_while_the_set_grows(steps: list[set[str]], n_folds: int) -> None:
    seen: set[str] = set()
    folds: dict[str, int] = {}
    for new in steps:
        seen |= new
        grown = assign_folds(folds, seen, n_folds)
        assert {group: grown[group] for group in folds} == folds
        assert set(grown) == seen
        folds = grown


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.integers(2, 6))
def test_fifty_random_steps(rng: random.Random, wanted: int) -> None:
    """Cases come and go, some groups with several cases: nothing moves, straddles or is lost."""
    groups: dict[int, str] = {}
    tables: dict[int, dict[str, int]] = {}
    n_steps = 50
    for step in range(n_steps):
        for _ in range(rng.randint(0, 4)):
            # A case never changes its group; a removed one may come back.
            case = rng.randrange(60)
            groups[case] = f"group_{case % 25}"
        # Every tenth step drops most of them: folds may lose all their groups.
        for case in rng.sample(sorted(groups), rng.randint(0, len(groups) // (1 + step % 10))):
            del groups[case]
        if not groups:
            groups = {step: f"group_{step % 25}"}
        before = {n: dict(table) for n, table in tables.items()}
        chosen = choose_folds(tables, groups.values(), wanted)
        tables[chosen.n_folds] = dict(chosen.folds)

        kept = before.get(chosen.n_folds, {})
        assert {group: chosen.folds[group] for group in kept} == kept
        assert all(0 <= fold < chosen.n_folds for fold in chosen.folds.values())
        held_out = {chosen.folds[group] for group in groups.values()}
        n_groups = len(set(groups.values()))
        assert set(groups.values()) <= chosen.folds.keys()
        # Every fold that is trained holds out a case and leaves one to train on, unless there is
        # one group only.
        assert len(held_out) >= min(2, n_groups)
        assert (chosen.n_folds == 1) == (n_groups == 1)
        _check_splits(groups, chosen)


def _check_splits(groups: dict[int, str], chosen: FoldAssignment) -> None:
    """What nnU-Net reads, as ``prepare`` writes it: no group is on both sides of a fold."""
    held = held_out_cases({f"case_{c}": chosen.folds[group] for c, group in groups.items()})
    everything = {f"case_{case}" for case in groups}
    group_of = {f"case_{case}": group for case, group in groups.items()}
    assert sorted(case for cases in held.values() for case in cases) == sorted(everything)
    for fold, split in enumerate(to_splits(held)):
        train, val = set(split["train"]), set(split["val"])
        assert train
        if chosen.n_folds == 1:
            assert train == val == everything
            continue
        assert train | val == everything
        assert val == set(held[fold])
        assert not {group_of[case] for case in train} & {group_of[case] for case in val}


@given(group_sets.filter(bool), st.integers(2, 6))
def test_a_first_split_fills_every_fold(groups: set[str], wanted: int) -> None:
    chosen = choose_folds({}, groups, wanted)
    assert chosen.n_folds == min(len(groups), wanted)
    assert {chosen.folds[group] for group in groups} == set(range(chosen.n_folds))


def test_few_groups_are_left_out_one_by_one() -> None:
    chosen = choose_folds({}, "abcd", 5)
    assert chosen.n_folds == 4
    assert sorted(chosen.folds.values()) == [0, 1, 2, 3]


def test_groups_left_in_one_fold_are_split_without_moving_one() -> None:
    tables = {2: {"a": 0, "b": 1, "c": 0}}
    chosen = choose_folds(tables, ["a", "c"], 2)
    assert chosen.n_folds == 3
    assert chosen.folds["a"] != chosen.folds["c"]
    # With the others back, the old split counts again.
    assert choose_folds({**tables, 3: chosen.folds}, "abc", 2).folds == tables[2]


@given(group_sets, st.integers(1, 6))
def test_balanced_and_so_non_empty(groups: set[str], n_folds: int) -> None:
    folds = assign_folds({}, groups, n_folds)
    sizes = [list(folds.values()).count(k) for k in range(n_folds)]
    assert sum(sizes) == len(groups)
    assert max(sizes) - min(sizes) <= 1


@given(group_sets, st.randoms(use_true_random=False))
def test_order_does_not_matter(groups: set[str], rng: random.Random) -> None:
    shuffled = sorted(groups)
    rng.shuffle(shuffled)
    assert assign_folds({}, shuffled, 3) == assign_folds({}, sorted(groups), 3)


def test_more_folds_later_fill_the_new_one_first() -> None:
    folds = assign_folds({"a": 0, "b": 1}, ["a", "b", "c"], 3)
    assert folds == {"a": 0, "b": 1, "c": 2}


def test_groups_that_are_gone_keep_their_fold_but_do_not_count() -> None:
    folds = assign_folds({"gone": 1, "here": 0}, ["here", "new"], 2)
    assert folds == {"gone": 1, "here": 0, "new": 1}


def test_known_assignment() -> None:
    # Pinned: a change of the hash would reshuffle everybody's folds.
    assert assign_folds({}, ["task_1", "task_2", "task_3", "task_4"], 2) == PINNED


PINNED = {"task_1": 1, "task_2": 1, "task_3": 0, "task_4": 0}


@pytest.mark.parametrize(("n_groups", "expected"), [(1, 1), (2, 2), (3, 3), (5, 5), (80, 5)])
def test_usable_folds(n_groups: int, expected: int) -> None:
    assert usable_folds(n_groups, 5) == expected


def test_nothing_to_train_on() -> None:
    with pytest.raises(NotEnoughCasesError, match="got 0"):
        usable_folds(0, 5)
