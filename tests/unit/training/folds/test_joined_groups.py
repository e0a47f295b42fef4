from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.folds.joined_groups import alike_by, join_groups

CASES = st.sampled_from("abcdefgh")


def test_a_group_that_has_a_fold_gives_the_joined_one_its_name() -> None:
    groups = {"a": "p1", "b": "p2", "c": "p3", "d": "p4"}
    assert join_groups(groups, [("a", "b"), ("b", "c")], known={"p3"}) == {"p1": "p3", "p2": "p3"}
    assert join_groups(groups, []) == {}
    # A case that is no longer among them still links two that are like it.
    assert join_groups(groups, [("a", "gone"), ("gone", "d")], known={"p1"})["p4"] == "p1"


@given(
    st.dictionaries(CASES, st.integers(0, 4).map(str), min_size=1),
    st.lists(st.tuples(CASES, CASES)),
    st.sets(st.integers(0, 4).map(str)),
)
def test_cases_are_in_one_group_where_a_chain_of_likeness_or_groups_links_them(
    groups: dict[str, str], alike: list[tuple[str, str]], known: set[str]
) -> None:
    joined = join_groups(groups, alike, known)
    assert not joined.keys() & set(joined.values())
    linked = {case: {case} for case in "abcdefgh"}
    pairs = [*alike, *((a, b) for a in groups for b in groups if groups[a] == groups[b])]
    for _ in linked:
        for a, b in pairs:
            union = linked[a] | linked[b]
            for case in union:
                linked[case] = union
    for a in groups:
        for b in groups:
            same = joined.get(groups[a], groups[a]) == joined.get(groups[b], groups[b])
            assert same == (b in linked[a])


def test_no_key_is_no_likeness() -> None:
    assert alike_by({"a": "x", "b": "", "c": "x", "d": "", "e": "y"}) == [("a", "c")]
