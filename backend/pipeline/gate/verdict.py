"""Two versions on the same cases: paired Dice, its intervals, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from domain.gate_verdict import ClassComparison, Comparison, Verdict
from domain.text import counted, signed
from training.evaluation import DicePerCase, image_dice, mean_over_images
from training.evaluation.bootstrap import RESAMPLES, paired_interval

__all__ = [
    "ClassComparison",
    "Comparison",
    "DicePerCase",
    "Verdict",
    "compare_cases",
    "in_brackets",
    "judge",
]

LEVEL = 0.95
"""Of the mean's one-sided bounds. The classes' are 1 - 0.05 / classes: all of them hold at once
with 95 % (Bonferroni); classes about which nothing can be said are not counted."""


def compare_cases(
    challenger: DicePerCase,
    champion: DicePerCase,
    groups: Mapping[str, str],
    resamples: int = RESAMPLES,
) -> Comparison | None:
    """Compares on the cases and in the classes that both have; None when there are none.

    Args:
        challenger: Dice of the new version, None for an absent class.
        champion: Dice of the old one.
        groups: Case id -> group (patient, video); a case without one is its own.
        resamples: Of the bootstrap.
    """
    cases = sorted(challenger.keys() & champion.keys())
    names, not_compared = _classes(
        [challenger[case] for case in cases], [champion[c] for c in cases]
    )
    if not cases or not names:
        return None
    new, old = _array(challenger, cases, names), _array(champion, cases, names)
    is_absent = np.isnan(new) | np.isnan(old)
    group_of = np.array([groups.get(case, case) for case in cases], dtype=np.str_)
    is_empty = is_absent.all(axis=1)
    images = np.array([_images(new), _images(old)])
    n_empty = int(is_empty.sum())
    # So that the mean over all is the mean of those that show something, plus the share of alarms.
    weights = np.where(is_empty, 1.0, len(cases) / max(len(cases) - n_empty, 1))
    whole = paired_interval(
        ((images[0] - images[1]) * weights).tolist(),
        group_of.tolist(),
        level=LEVEL,
        resamples=resamples,
    )
    left_empty = images[:, is_empty].sum(axis=1).astype(int).tolist()
    challenger_mean, champion_mean = _figures(images, is_empty)
    return Comparison(
        challenger=challenger_mean,
        champion=champion_mean,
        difference=whole.mean,
        low=whole.low,
        high=whole.high,
        n_cases=whole.n_cases,
        n_groups=whole.n_groups,
        classes=_compare_classes(names, new, old, group_of, resamples),
        n_empty=n_empty,
        challenger_left_empty=left_empty[0],
        champion_left_empty=left_empty[1],
        not_compared=not_compared,
    )


def _compare_classes(
    names: Sequence[str],
    new: npt.NDArray[np.float64],
    old: npt.NDArray[np.float64],
    group_of: npt.NDArray[np.str_],
    resamples: int,
) -> tuple[ClassComparison, ...]:
    """``new`` and ``old``: (case, class), NaN = says nothing."""
    n_comparable = int((~np.isnan(new).all(axis=0) & ~np.isnan(old).all(axis=0)).sum())
    level = 1.0 - (1.0 - LEVEL) / max(n_comparable, 1)
    return tuple(
        _compare_class(name, (new[:, k], old[:, k]), group_of, level, resamples)
        for k, name in enumerate(names)
    )


def _compare_class(
    name: str,
    sides: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    group_of: npt.NDArray[np.str_],
    level: float,
    resamples: int,
) -> ClassComparison:
    """``sides``, the new one first: (case,), NaN = says nothing."""
    new, old = sides
    counts = ~(np.isnan(new) & np.isnan(old))
    n_cases = int(counts.sum())
    challenger, champion = _mean(new), _mean(old)
    difference = low = high = None
    if challenger is not None and champion is not None:
        pairs = np.where(np.isnan(new), challenger, new) - np.where(np.isnan(old), champion, old)
        part = paired_interval(
            pairs[counts].tolist(), group_of[counts].tolist(), level=level, resamples=resamples
        )
        difference, low, high = part.mean, part.low, part.high
    return ClassComparison(
        name, challenger, champion, difference, low, high, n_cases, len(counts) - n_cases
    )


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    said = values[~np.isnan(values)]
    return float(said.mean()) if said.size else None


def judge(
    challenger: DicePerCase,
    champion: DicePerCase | None,
    margin: float,
    groups: Mapping[str, str] | None = None,
    *,
    against: str = "the version that serves",
    remark: str = "",
    resamples: int = RESAMPLES,
) -> Verdict:
    """Whether a challenger may serve in the champion's place.

    The textbook rule of non-inferiority promotes when the lower bound of the one-sided 95 %
    interval of the difference lies above ``-margin``. It wants proof that the challenger is not
    worse, and 5 to 20 cases can't give it: their interval is some 0.1 wide, the margin 0.01, so an
    equally good version would hardly ever pass and the annotators' loop would stand still. The
    errors do not cost the same here either: a version that is refused wrongly wastes a training,
    one that is promoted wrongly is judged again at the next run and can be rolled back. So the
    burden of proof is set per statement:

    - **The mean** goes by what is more probable: refused when the measured difference
      (``Comparison``) is below ``-margin``. Measured on its own, an equally good challenger is not
      refused for it more often than every second time, whatever the noise, and one that is worse by
      ``margin`` and 1.64 standard errors passes 1 time in 20. Refusals in a row are not
      independent, though: the champion's figures stay, and one that was lucky when it was measured
      holds its place until there are new cases, or a person promotes. Of loops of 12 equally good
      versions on the same 5, 12, 30 cases, 49, 28, 13 % have five refusals in a row somewhere, 23,
      20, 2 % where a fifth more labels come before each run. And whoever may try often gets
      through: of five challengers in a row that are worse by 0.02 one comes to serve in 73, 58,
      44 % of loops, by 0.05 in 18, 2, 1 %. One that is better by 0.02 waits for five runs in 1, 0,
      0 %. (200 loops each, so good to 7 points: ``python -m benchmarks.gate``.) Asking for proof
      that the challenger is worse instead would let more small losses through; judging on labels
      alone that came since the champion was measured helps some loops and harms others (the same
      command, ``--rule fresh``).
    - **A class** is refused only beyond doubt: when the upper bound of its difference lies below
      ``-margin``. With several classes one of them is nearly always below by chance; the levels
      hold for all together (Bonferroni), so a challenger that is worse by no more than the margin
      in every class is refused for a class at most 1 time in 20. This catches the version that
      lost a small or rare class while the others gained.

    An absent class says nothing and weighs nothing: neither in the mean, whose margin it would
    stretch, nor among the classes whose bounds are widened for their number.

    Simulated with two classes and differences that vary by 0.08 from case to case, a challenger is
    promoted with 5, 12, 30 cases: equally good 66, 73, 83 %; better by 0.02: 88, 97, 100 %; worse
    by 0.05: 5, 1, 0 %; worse by 0.15, or one class by 0.3 while the other gains as much: never. A
    third class that is in no case changes none of it. With one class, 60 % empty images and false
    alarms in 5 % of these on both sides, of 12, 30, 100 cases: equally good 54, 58, 68 %; false
    alarms in 30 % instead: 14, 4, 0 %.

    Intervals: ``training.evaluation.bootstrap.paired_interval`` (paired, over groups, 10,000
    resamples).

    Args:
        challenger: Its out-of-fold Dice, None for an absent class; {} when nothing was held out.
        champion: The serving version's Dice on the same cases; {} when it can't be compared, None
            when no version serves.
        margin: Loss of Dice that still counts as not worse.
        groups: Case id -> group; None: each case is its own.
        against: The champion's name, for the sentence.
        remark: How the champion was measured, where that is not by its own held-out folds; or why
            it was not.
        resamples: Of the bootstrap.
    """
    found = compare_cases(challenger, champion, groups or {}, resamples) if champion else None
    if found is None:
        reason = (
            "the first version that serves"
            if champion is None
            else f"nothing to compare: {remark or 'the version that serves has other folds'}"
        )
        mean = _figure_of(challenger)
        return Verdict(True, mean, None, len(challenger), margin, reason)
    worse = [c for c in found.classes if c.high is not None and c.high < -margin]
    is_promoted = found.difference >= -margin and not worse
    if found.difference < -margin:
        judgement = f"worse by more than {margin:.3f}"
    elif worse:
        judgement = "; ".join(
            f"{c.name} is worse beyond doubt: {c.challenger:.3f} against {c.champion:.3f} on "
            f"{counted(c.n_cases, 'case')}, {in_brackets(c.difference, c.low, c.high)}"
            for c in worse
        )
    else:
        judgement = "not worse"
    remarks = "; ".join(filter(None, (remark, _not_compared(found))))
    reason = (
        f"mean Dice per image {found.challenger:.3f} against {found.champion:.3f} of {against} on "
        f"the same {_cases(found)} {in_brackets(found.difference, found.low, found.high)}: "
        f"{judgement}" + (f" ({remarks})" if remarks else "")
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
        n_empty=found.n_empty,
        challenger_left_empty=found.challenger_left_empty,
        champion_left_empty=found.champion_left_empty,
    )


def in_brackets(difference: float | None, low: float | None, high: float | None) -> str:
    """A difference with its bounds; a dash where there is none.

    >>> in_brackets(0.0123, -0.02, 0.041)
    '+0.012 [-0.020, +0.041]'
    """
    if difference is None:
        return "-"
    bounds = "" if low is None or high is None else f" [{signed(low, 3)}, {signed(high, 3)}]"
    return f"{signed(difference, 3)}{bounds}"


def _cases(found: Comparison) -> str:
    """What was compared: a difference of means is of the images that show something alone."""
    if not found.n_empty:
        return f"{counted(found.n_cases, 'held-out case')},"
    return (
        f"{counted(found.n_cases - found.n_empty, 'held-out case')}; of "
        f"{counted(found.n_empty, 'image')} with nothing to find, {found.challenger_left_empty} "
        f"rightly left empty against {found.champion_left_empty}; all {found.n_cases} together"
    )


def _not_compared(found: Comparison) -> str:
    names = ", ".join(found.not_compared)
    return f"not compared, because only one of the two knows it: {names}" if names else ""


def _figure_of(dice: DicePerCase) -> float | None:
    """``Comparison.challenger`` of a side by itself; None without cases or classes."""
    shown = {
        case: scores
        for case, scores in dice.items()
        if any(score is not None for score in scores.values())
    }
    return mean_over_images(shown or dice)


def _classes(*sides: Iterable[Mapping[str, object]]) -> tuple[list[str], tuple[str, ...]]:
    """The classes that every case of every side has, and the others, in order of appearance."""
    rows = [scores.keys() for side in sides for scores in side]
    names = dict.fromkeys(name for keys in rows for name in keys)
    common = [name for name in names if all(name in keys for keys in rows)]
    return common, tuple(name for name in names if name not in common)


def _array(
    dice: DicePerCase, cases: Sequence[str], names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """(case, class) float64, NaN = says nothing."""
    rows = [[dice[case][name] for name in names] for case in cases]
    return np.array(rows, dtype=np.float64)  # None becomes NaN


def _images(values: npt.NDArray[np.float64]) -> list[float]:
    return [image_dice(None if np.isnan(v) else float(v) for v in row) for row in values]


def _figures(
    images: npt.NDArray[np.float64], is_empty: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Of (side, image): the mean of each side over the images that show something, if any do."""
    counted = images if is_empty.all() else images[:, ~is_empty]
    means = counted.mean(axis=1).tolist()
    return means[0], means[1]
