"""Labels that are probably wrong come first, whatever kind of doubt is common in a project."""

from __future__ import annotations

import pytest

from active_learning.label_qa import LEAST_CASES, LEAST_SPREAD, doubted_labels
from domain.doubts import Doubt, DoubtKind


def doubt(kind: DoubtKind, strength: float) -> Doubt:
    return Doubt(kind, strength, 1, 0, (0, 0, 5, 5))


def test_a_rare_doubt_comes_before_a_strong_one_that_all_have() -> None:
    cases = {f"c{i}": [doubt(DoubtKind.COARSE, 0.5 + i / 100)] for i in range(20)}
    cases["c3"].append(doubt(DoubtKind.WRONG_CLASS, 0.3))
    first = doubted_labels(cases)[0]
    assert (first.case_id, first.doubt.kind) == ("c3", DoubtKind.WRONG_CLASS)
    assert [one.kind for one in first.others] == [DoubtKind.COARSE]
    assert first.rarity == 1 / 20 and first.is_doubtful


def test_what_all_labels_have_is_no_doubt() -> None:
    cases = {f"c{i}": [doubt(DoubtKind.COARSE, 0.5 + i / 1000)] for i in range(20)}
    assert not any(one.is_doubtful for one in doubted_labels(cases))


def test_little_is_no_news_where_all_agrees() -> None:
    cases: dict[str, list[Doubt]] = {f"c{i}": [] for i in range(20)}
    cases |= {"a": [doubt(DoubtKind.SHIFTED, LEAST_SPREAD)]}
    (one,) = doubted_labels(cases)
    assert not one.is_doubtful
    cases["a"] = [doubt(DoubtKind.SHIFTED, 2 * LEAST_SPREAD)]
    (one,) = doubted_labels(cases)
    assert one.is_doubtful


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.4])
def test_what_is_sure_stands_out_however_many_labels_have_it(share: float) -> None:
    n_wrong = round(100 * share)
    cases = {
        f"c{i}": [doubt(DoubtKind.WRONG_CLASS, 0.85 if i < n_wrong else 0.02)] for i in range(100)
    }
    listed = [one.case_id for one in doubted_labels(cases) if one.is_doubtful]
    assert sorted(listed) == sorted(f"c{i}" for i in range(n_wrong))


@pytest.mark.parametrize("strength", [0.2, 0.5, 0.9])
def test_few_labels_are_enough_to_find_one(strength: float) -> None:
    """One of five is found, whatever its strength; of fewer only what is sure."""

    def is_found(n: int) -> bool:
        cases: dict[str, list[Doubt]] = {f"c{i}": [] for i in range(n)}
        cases["c0"] = [doubt(DoubtKind.EMPTY, strength)]
        return doubted_labels(cases)[0].is_doubtful

    assert is_found(LEAST_CASES)
    assert [is_found(n) for n in (1, 2)] == [False, False]
    assert is_found(4) is (strength > 0.75)


def test_cases_without_doubts_count_but_are_not_named() -> None:
    ranked = doubted_labels({"a": [doubt(DoubtKind.EMPTY, 0.9)], "b": [], "c": []})
    assert [(one.case_id, one.rarity) for one in ranked] == [("a", 1 / 3)]


def test_equal_strengths_are_equally_rare() -> None:
    ranked = doubted_labels({name: [doubt(DoubtKind.EMPTY, 0.5)] for name in "ba"})
    assert [(one.case_id, one.rarity) for one in ranked] == [("a", 1.0), ("b", 1.0)]


def test_no_cases() -> None:
    assert doubted_labels({}) == []
