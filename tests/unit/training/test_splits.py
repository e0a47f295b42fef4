from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotEnoughCasesError
from training.splits import assign_folds, usable_folds

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


@pytest.mark.parametrize(("n_groups", "expected"), [(2, 2), (3, 3), (5, 5), (80, 5)])
def test_usable_folds(n_groups: int, expected: int) -> None:
    assert usable_folds(n_groups, 5) == expected


@pytest.mark.parametrize("n_groups", [0, 1])
def test_nothing_to_hold_out(n_groups: int) -> None:
    with pytest.raises(NotEnoughCasesError, match=f"got {n_groups}"):
        usable_folds(n_groups, 5)
