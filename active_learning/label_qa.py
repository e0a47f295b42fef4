"""Which labels of a project are probably wrong: doubts of all cases, those that stand out first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domain.doubts import Doubt, DoubtKind

STANDS_OUT = 1.5
"""A label is doubtful whose doubt stands out so far: half as far again as the tenth that disagrees
most, in its kind."""

LEAST_SPREAD = 0.1
"""In strength. Where predictions and labels agree nearly everywhere, less is no news."""

MOST_SPREAD = 0.5
"""In strength. What is sure beyond doubt stands out although more than a tenth of all labels have
it: one in five may have the wrong class, because somebody mistook it."""

LEAST_CASES = 5
"""Of fewer, the one that disagrees most makes up most of the spread, and hardly stands out."""


@dataclass(frozen=True, slots=True)
class DoubtedLabel:
    """A case whose label map may be wrong.

    Attributes:
        case_id: Which.
        doubt: What stands out most.
        standing: How far, in steps from the median case to the tenth with the strongest doubts of
            this kind; a step is ``LEAST_SPREAD`` to ``MOST_SPREAD``.
        rarity: The share of cases with a doubt of this kind that is as strong, in (0, 1].
        others: Its other doubts, those that stand out most first.
    """

    case_id: str
    doubt: Doubt
    standing: float
    rarity: float
    others: tuple[Doubt, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Whether a person should look at it."""
        return self.standing >= STANDS_OUT


def doubted_labels(doubts: Mapping[str, Sequence[Doubt]]) -> list[DoubtedLabel]:
    """The cases with doubts, those that stand out most first.

    Strengths of different kinds can't be compared: where a network misses outlines by far, every
    outline is doubted. So each doubt is measured by how those of its kind spread over all cases,
    and a case by the doubt that stands out most.

    Args:
        doubts: Case id -> its doubts (``training.evaluation.label_doubts``), at most one of a kind;
            cases without any count, too.
    """
    n = len(doubts)
    spreads: dict[DoubtKind, _Spread] = {}
    for kind in DoubtKind:
        found = [one.strength for of_case in doubts.values() for one in of_case if one.kind is kind]
        if found:
            spreads[kind] = _Spread.of(np.array([*found, *[0.0] * (n - len(found))]))

    def standing(one: Doubt) -> float:
        return spreads[one.kind].standing(one.strength)

    ranked = []
    for case_id, of_case in doubts.items():
        if of_case:
            first, *others = sorted(of_case, key=lambda one: (-standing(one), one.kind))
            rarity = spreads[first.kind].rarity(first.strength)
            ranked.append(DoubtedLabel(case_id, first, standing(first), rarity, tuple(others)))
    return sorted(ranked, key=lambda one: (-one.standing, one.case_id))


@dataclass(frozen=True, slots=True)
class _Spread:
    """How strong doubts of a kind are over all cases, those without one with strength 0."""

    strengths: tuple[float, ...]
    median: float
    step: float

    @classmethod
    def of(cls, strengths: npt.NDArray[np.float64]) -> _Spread:
        median, high = np.quantile(strengths, (0.5, 0.9)).tolist()
        step = min(max(high - median, LEAST_SPREAD), MOST_SPREAD)
        return cls(tuple(strengths.tolist()), median, step)

    def standing(self, strength: float) -> float:
        return (strength - self.median) / self.step

    def rarity(self, strength: float) -> float:
        return sum(one >= strength for one in self.strengths) / len(self.strengths)
