"""Two versions on the same cases: paired Dice, its intervals, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from training.bootstrap import paired_interval

DicePerCase = dict[str, dict[str, float]]
"""{case id: {class: Dice in [0, 1]}}."""

LEVEL = 0.95
"""Of the mean's one-sided bounds. The classes' are 1 - 0.05 / classes: all of them hold at once
with 95 % (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class ClassComparison:
    """One class of two versions. Dice in [0, 1]; ``difference`` is challenger minus champion.

    ``low`` and ``high`` bound the difference, each one-sided; None with fewer than 2 groups.
    ``n_cases`` are counted, ``n_alike`` left out because both versions scored exactly 1 there:
    nearly always the class is absent and neither saw it. They say nothing about which is better,
    and would water down what a rare class lost (as McNemar's test leaves out concordant pairs). A
    case where one version saw an absent class scores 0 for it, and counts.
    """

    name: str
    challenger: float
    champion: float
    difference: float
    low: float | None
    high: float | None
    n_cases: int
    n_alike: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions on the cases both were measured on.

    Means are over the cases, each the mean of its classes, all cases counted: the numbers that are
    reported everywhere else. ``n_groups`` is what was resampled.
    """

    challenger: float
    champion: float
    difference: float
    low: float | None
    high: float | None
    n_cases: int
    n_groups: int
    classes: tuple[ClassComparison, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer and its numbers.

    ``challenger`` and ``champion`` are mean Dice on the cases both were measured on; ``champion``
    and ``difference`` are None when nothing could be compared, ``challenger`` too when it was not
    measured. ``low`` and ``high`` are the one-sided 95 % bounds of the difference.
    """

    is_promoted: bool
    challenger: float | None
    champion: float | None
    n_cases: int
    margin: float
    reason: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_groups: int = 0
    classes: tuple[ClassComparison, ...] = field(default=())


def compare_cases(
    challenger: DicePerCase, champion: DicePerCase, groups: Mapping[str, str]
) -> Comparison | None:
    """Compares on the cases that both have; None when there are none.

    Args:
        challenger: Dice of the new version.
        champion: Dice of the old one. Classes that only one of them has are left out.
        groups: Case id -> group (patient, video); a case without one is its own.
    """
    cases = sorted(challenger.keys() & champion.keys())
    names = _common_classes([challenger[case] for case in cases], [champion[c] for c in cases])
    if not cases or not names:
        return None
    new = np.array([[challenger[case][name] for name in names] for case in cases])
    old = np.array([[champion[case][name] for name in names] for case in cases])
    group_of = [groups.get(case, case) for case in cases]
    whole = paired_interval((new - old).mean(axis=1).tolist(), group_of, level=LEVEL)
    level = 1.0 - (1.0 - LEVEL) / len(names)
    classes = []
    for k, name in enumerate(names):
        counts = ~((new[:, k] == 1.0) & (old[:, k] == 1.0))
        n_alike = int((~counts).sum())
        if n_alike == len(cases):
            classes.append(ClassComparison(name, 1.0, 1.0, 0.0, None, None, 0, n_alike))
            continue
        part = paired_interval(
            (new - old)[counts, k].tolist(),
            [group for group, is_counted in zip(group_of, counts, strict=True) if is_counted],
            level=level,
        )
        classes.append(
            ClassComparison(
                name=name,
                challenger=float(new[counts, k].mean()),
                champion=float(old[counts, k].mean()),
                difference=part.mean,
                low=part.low,
                high=part.high,
                n_cases=part.n_cases,
                n_alike=n_alike,
            )
        )
    return Comparison(
        challenger=float(new.mean()),
        champion=float(old.mean()),
        difference=whole.mean,
        low=whole.low,
        high=whole.high,
        n_cases=whole.n_cases,
        n_groups=whole.n_groups,
        classes=tuple(classes),
    )


def judge(
    challenger: DicePerCase,
    champion: DicePerCase | None,
    margin: float,
    groups: Mapping[str, str] | None = None,
    *,
    remark: str = "",
) -> Verdict:
    """Whether a challenger may serve in the champion's place.

    The textbook rule of non-inferiority promotes when the lower bound of the one-sided 95 %
    interval of the difference lies above ``-margin``. It wants proof that the challenger is not
    worse, and 5 to 20 cases can't give it: their interval is some 0.1 wide, the margin 0.01, so an
    equally good version would hardly ever pass and the annotators' loop would stand still. The
    errors do not cost the same here either: a version that is refused wrongly wastes a training,
    one that is promoted wrongly is judged again at the next run and can be rolled back. So the
    burden of proof is set per statement:

    - **The mean over classes** goes by what is more probable: refused when the measured difference
      is below ``-margin``. An equally good challenger passes at least every second time whatever
      the noise (so noise can't block for ever: five refusals in a row happen to fewer than 1 in
      32), and one that is worse by ``margin`` and 1.64 standard errors passes 1 time in 20. Asking
      for proof that it is worse instead would let small losses through, run after run.
    - **A class** is refused only beyond doubt: when the upper bound of its difference lies below
      ``-margin``. With several classes one of them is nearly always below by chance; the levels
      hold for all together (Bonferroni), so a challenger that is worse by no more than the margin
      in every class is refused for a class at most 1 time in 20. This catches the version that
      lost a small or rare class while the others gained.

    Simulated with two classes and differences that vary by 0.08 from case to case, a challenger is
    promoted with 5, 12, 30 cases: equally good 66, 77, 85 %; better by 0.02: 91, 97, 99 %; worse by
    0.05: 4, 1, 0 %; worse by 0.15, or one class by 0.3 while the other gains as much: never.

    Intervals: ``training.bootstrap.paired_interval`` (paired, over groups, 10,000 resamples).

    Args:
        challenger: Its out-of-fold Dice; {} when nothing was held out.
        champion: The serving version's Dice on the same cases; {} when it can't be compared, None
            when no version serves.
        margin: Loss of Dice that still counts as not worse.
        groups: Case id -> group; None: each case is its own.
        remark: How the champion was measured, where that is not by its own held-out folds; or why
            it was not.
    """
    found = compare_cases(challenger, champion, groups or {}) if champion else None
    if found is None:
        reason = (
            "the first version that serves"
            if champion is None
            else f"nothing to compare: {remark or 'the version that serves has other folds'}"
        )
        mean = float(np.mean([_mean(scores) for scores in challenger.values()] or [np.nan]))
        return Verdict(True, mean if challenger else None, None, len(challenger), margin, reason)
    worse = [c for c in found.classes if c.high is not None and c.high < -margin]
    is_promoted = found.difference >= -margin and not worse
    if found.difference < -margin:
        judgement = f"worse by more than {margin:.3f}"
    elif worse:
        judgement = "; ".join(
            f"{c.name} is worse beyond doubt: {c.challenger:.3f} against {c.champion:.3f} on "
            f"{c.n_cases} cases, {in_brackets(c.difference, c.low, c.high)}"
            for c in worse
        )
    else:
        judgement = "not worse"
    reason = (
        f"mean out-of-fold Dice {found.challenger:.3f} against {found.champion:.3f} on "
        f"{found.n_cases} cases, {in_brackets(found.difference, found.low, found.high)}: "
        f"{judgement}" + (f" ({remark})" if remark else "")
    )
    return Verdict(
        is_promoted=is_promoted,
        challenger=found.challenger,
        champion=found.champion,
        n_cases=found.n_cases,
        margin=margin,
        reason=reason,
        difference=found.difference,
        low=found.low,
        high=found.high,
        n_groups=found.n_groups,
        classes=found.classes,
    )


def in_brackets(difference: float, low: float | None, high: float | None) -> str:
    """A difference with its bounds.

    >>> in_brackets(0.0123, -0.02, 0.041)
    '+0.012 [-0.020, +0.041]'
    """
    bounds = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{difference:+.3f}{bounds}"


def _common_classes(*sides: Iterable[Mapping[str, float]]) -> list[str]:
    rows = [scores.keys() for side in sides for scores in side]
    return [name for name in rows[0] if all(name in keys for keys in rows)] if rows else []


def _mean(scores: Mapping[str, float]) -> float:
    return float(np.mean(list(scores.values())))
