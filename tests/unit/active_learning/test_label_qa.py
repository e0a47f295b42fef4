"""Labels that are probably wrong come first, whatever kind of doubt is common in a project."""

from __future__ import annotations

from active_learning.label_qa import doubted_labels
from domain.doubts import Doubt, DoubtKind


def doubt(kind: DoubtKind, strength: float) -> Doubt:
    return Doubt(kind, strength, 1, 0, (0, 0, 5, 5))


def test_a_rare_doubt_comes_before_a_strong_one_that_all_have() -> None:
    cases = {f"c{i}": [doubt(DoubtKind.COARSE, 0.5 + i / 100)] for i in range(20)}
    cases["c3"].append(doubt(DoubtKind.WRONG_CLASS, 0.3))
    ranked = doubted_labels(cases)
    assert {ranked[0].case_id, ranked[1].case_id} == {"c3", "c19"}
    of_c3 = next(one for one in ranked if one.case_id == "c3")
    assert of_c3.doubt.kind is DoubtKind.WRONG_CLASS
    assert [one.kind for one in of_c3.others] == [DoubtKind.COARSE]
    assert of_c3.rarity == 1 / 20


def test_cases_without_doubts_count_but_are_not_named() -> None:
    ranked = doubted_labels({"a": [doubt(DoubtKind.EMPTY, 0.9)], "b": [], "c": []})
    assert [(one.case_id, one.rarity) for one in ranked] == [("a", 1 / 3)]


def test_equal_strengths_are_equally_rare() -> None:
    ranked = doubted_labels({name: [doubt(DoubtKind.EMPTY, 0.5)] for name in "ba"})
    assert [(one.case_id, one.rarity) for one in ranked] == [("a", 1.0), ("b", 1.0)]


def test_no_cases() -> None:
    assert doubted_labels({}) == []
