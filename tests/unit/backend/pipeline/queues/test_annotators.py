"""Who has a queue, and what they are called on its tab."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.label_studio import User
from backend.pipeline.queues.annotators import (
    FEW,
    IDLE_S,
    TITLE_LENGTH,
    annotators_of,
)

NOW = 100 * IDLE_S
OWN = User(1, "lab@example.com", "Lab")
ANNA = User(2, "anna@example.com", "Anna", "Bell")
BEN = User(3, "ben@example.com", "Ben", "Cole")


def found(
    users: list[User], last: dict[int, float] | None = None, named: tuple[str, ...] = ()
) -> list[tuple[int, bool]]:
    one = annotators_of(users, OWN.id, last or {}, named, NOW)
    return [(a.id, a.is_starter) for a in one.found]


def crowd(n: int) -> list[User]:
    return [OWN, *(User(10 + i, f"p{i}@example.com") for i in range(n - 1))]


def test_as_long_as_nobody_has_labelled_the_few_have_whole_queues() -> None:
    assert found([OWN, ANNA, BEN]) == [(2, False), (3, False)]
    assert found([OWN]) == [(1, False)]
    assert found(crowd(30)) == [(1, False)]


def test_who_labels_has_a_queue_and_of_a_few_the_others_a_start() -> None:
    last = {ANNA.id: NOW - 60}
    assert found([OWN, ANNA, BEN], last) == [(2, False), (3, True)]
    # The account that nnloop uses labels too.
    assert found([OWN, ANNA], {**last, OWN.id: NOW}) == [(1, False), (2, False)]
    many = [*crowd(30), ANNA]
    assert found(many, last) == [(2, False)]
    assert found(many, {**last, 17: NOW - 30}) == [(17, False), (2, False)]


@pytest.mark.parametrize(("n", "has_others"), [(FEW + 1, True), (FEW + 2, False)])
def test_few_are_counted_without_the_account_that_nnloop_uses(n: int, has_others: bool) -> None:
    users = crowd(n)
    got = found(users, {users[1].id: NOW})
    assert (len(got) > 1) is has_others


def test_who_has_not_labelled_for_long_counts_as_gone() -> None:
    many = [*crowd(30), ANNA, BEN]
    assert found(many, {ANNA.id: NOW, BEN.id: NOW - IDLE_S}) == [(2, False)]
    # When all are gone it is as before anybody came.
    assert found(many, {ANNA.id: 1.0}) == [(1, False)]


@pytest.mark.parametrize(
    ("named", "ids", "unknown"),
    [
        (("anna@example.com",), {2}, ()),
        (("ANNA@Example.com", "ben"), {2, 3}, ()),
        (("Anna  bell", "lab"), {1, 2}, ()),
        (("Anna", "Clara"), {2}, ("Clara",)),
        (("Clara",), set(), ("Clara",)),
    ],
)
def test_the_setting_names_people(
    named: tuple[str, ...], ids: set[int], unknown: tuple[str, ...]
) -> None:
    got = annotators_of([OWN, ANNA, BEN], OWN.id, {BEN.id: NOW}, named, NOW)
    assert {a.id for a in got.found} == ids
    assert got.unknown == unknown
    assert not any(a.is_starter for a in got.found)


def test_a_name_that_two_have_names_nobody() -> None:
    twin = User(9, "anna@other.org", "Anna", "Dorn")
    got = annotators_of([ANNA, twin], OWN.id, {}, ("anna",), NOW)
    assert (got.found, got.unknown) == ((), ("anna",))
    got = annotators_of([ANNA, twin], OWN.id, {}, ("Anna Dorn",), NOW)
    assert [a.id for a in got.found] == [9]


def titles(*users: User) -> list[str]:
    got = annotators_of(users, 0, {}, [user.email for user in users], NOW)
    return [a.title for a in sorted(got.found, key=lambda a: a.id)]


def test_names_are_as_short_as_tells_them_apart() -> None:
    assert titles(ANNA, BEN) == ["nnloop: Anna", "nnloop: Ben"]
    assert titles(User(1, "a.b@x.org"), BEN) == ["nnloop: a.b", "nnloop: Ben"]
    other = User(4, "anna.d@example.com", "Anna", "Dorn")
    assert titles(ANNA, other) == ["nnloop: Anna B", "nnloop: Anna D"]
    namesake = User(5, "ab@example.com", "Anna", "Bell")
    assert titles(ANNA, namesake) == ["nnloop: anna", "nnloop: ab"]
    assert titles(User(6, "me@a.org"), User(7, "me@b.org")) == ["nnloop: me 6", "nnloop: me 7"]


@given(
    st.lists(
        st.tuples(st.text(max_size=30), st.text(max_size=30), st.text("abc", min_size=1)),
        min_size=1,
        max_size=12,
    )
)
def test_titles_differ_and_are_not_cut_whatever_people_are_called(
    names: list[tuple[str, str, str]],
) -> None:
    users = [
        User(number, f"{local}@host{number}", first.strip(), last.strip())
        for number, (first, last, local) in enumerate(names, start=1)
    ]
    got = titles(*users)
    assert len({title.lower() for title in got}) == len(users)
    assert all(len(title) <= TITLE_LENGTH for title in got)
