"""Which labels of a project are probably wrong: doubts of all cases, those that stand out first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.doubts import Doubt, DoubtKind


@dataclass(frozen=True, slots=True)
class DoubtedLabel:
    """A case whose label map may be wrong.

    Attributes:
        case_id: Which.
        doubt: What stands out most.
        rarity: The share of cases with a doubt of this kind that is as strong, in (0, 1]; low =
            look at it first.
        others: Its other doubts, those that stand out most first.
    """

    case_id: str
    doubt: Doubt
    rarity: float
    others: tuple[Doubt, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Whether a person should look at it."""
        return self.rarity <= 0.1


def doubted_labels(doubts: Mapping[str, Sequence[Doubt]]) -> list[DoubtedLabel]:
    """The cases with doubts, those that stand out most first.

    Strengths of different kinds can't be compared: where a network misses outlines by far, every
    outline is doubted. So each doubt is placed among those of its own kind in all cases, and a case
    by the rarest of its doubts.

    Args:
        doubts: Case id -> its doubts (``training.evaluation.label_doubts``), at most one of a kind;
            cases without any count, too.
    """
    n = len(doubts)
    strengths: dict[DoubtKind, list[float]] = {}
    for of_case in doubts.values():
        for one in of_case:
            strengths.setdefault(one.kind, []).append(one.strength)

    for of_kind in strengths.values():
        of_kind.sort()

    def rarity(one: Doubt) -> float:
        of_kind = strengths[one.kind]
        return (len(of_kind) - bisect_left(of_kind, one.strength)) / n

    found = []
    for case_id, of_case in doubts.items():
        if of_case:
            first, *others = sorted(of_case, key=lambda one: (rarity(one), -one.strength))
            found.append(DoubtedLabel(case_id, first, rarity(first), tuple(others)))
    return sorted(found, key=lambda one: (one.rarity, -one.doubt.strength, one.case_id))
