"""What a replay comes to, in a few sentences for those who decide: gain, saving, doubts, what next.

Every sentence follows from figures and the limits below. Where nothing can be told it says so, and
what would have to be played to tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from active_learning.strategies import STRATEGY_NAMES
from backend.pipeline.basis.query_strategy import WITH_MODEL
from backend.replay.figures import ALPHA, Comparison, paired_p
from backend.replay.images.library import Loop
from backend.replay.options import ORACLE, RANDOM
from backend.replay.results import Results
from domain.text import counted, signed

LEAST_RISE = 0.02
"""Of the Dice, from the first labels to more of them: with less there is nothing that a choice of
labels could change. Two trainings on the same images differ by as much."""

FOUND_NOTHING = 0.05
"""Dice up to which networks have found nothing: a few pixels overlap by chance."""

NEARLY_ALL = 0.9
"""Dice from which on a flat curve is the images' ease, not a want of steps."""

OWN_SHARE = 0.8
"""Of the Dice of the project's own version. Networks of a replay are smaller and see smaller
images, so that somewhat less is no fault; with less than this they are cut off too early."""

RISE_SEEDS = 3
"""Seeds from which on a rise has to stand out of their noise too; fewer don't tell what that is."""

MOST_SEEDS = 16
"""That anybody would play. A difference that shows only with more is not worth it."""

LITTLE = 0.01
"""Of the Dice: a gain below it is called little, however certain it is."""

ENOUGH_SEEDS = 4
"""To begin with, where there is but one."""


def conclusion(results: Results, loop: Loop | None = None) -> list[str]:
    """Two to five sentences: what was found, and what to do next.

    Args:
        results: What was played, in any state.
        loop: The project that the images are of; None of a folder.
    """
    if why := _not_measured(results):
        return why
    compared = results.compared(results.aubc())
    live = {name: one for name, one in compared.items() if name in STRATEGY_NAMES}
    if not live:
        return [
            "Nothing can be told yet: no strategy is played to its end beside random.",
            "Next: the same command once more; it goes on where it was cut off.",
        ]
    better = sorted(
        (name for name, one in live.items() if one.is_better),
        key=lambda name: -live[name].difference,
    )
    if better:
        return _gain(results, live, better, loop)
    return _nothing_to_compare(results, live) or _no_gain(results, compared, live, loop)


def _not_measured(results: Results) -> list[str]:
    """Why there is no figure at all; [] where there are some."""
    if RANDOM in results.rounds:
        return []
    if results.n_unmeasured:
        n = len(results.table.test)
        return [
            f"Nothing can be told: {counted(n, 'image')} to measure on, and none shows a class, or "
            "what was measured is no number.",
            "Next: more labelled images or another --test-share.",
        ]
    return [
        "Nothing can be told yet: random, which all are compared with, is not played to its end.",
        "Next: the same command once more; it goes on where it was cut off.",
    ]


def _nothing_to_compare(results: Results, live: Mapping[str, Comparison]) -> list[str]:
    """Why these courses compare nothing; [] where they do."""
    options = results.table.options
    n_rounds = min(len(rounds) for rounds in results.rounds[RANDOM].values())
    if n_rounds < 2:
        uses_all = options.rounds > 1
        return [
            "Nothing can be told: strategies choose from the second training on, and there is one.",
            f"Next: {'fewer images at the --start, or more in all' if uses_all else '--rounds 4'}.",
        ]
    first, last = results.dice_at(RANDOM, 0), results.dice_at(RANDOM, -1)
    labels = _labels(results)
    full, all_labels = results.reachable, len(results.table.pool)
    best = fmean((full or last).values())
    n_best = all_labels if full else labels[1]
    if max(best, fmean(last.values())) <= FOUND_NOTHING:
        return [
            f"Nothing can be told: with {n_best} labels networks reach a Dice of {best:.2f}, so "
            "they find nothing.",
            f"Next: more --steps, such as {2 * options.steps}; where that changes nothing, look "
            "whether masks and classes are right.",
        ]
    if full and not _rises(first, full):
        both = sorted(first.keys() & full.keys())
        start, best = fmean(first[seed] for seed in both), fmean(full[seed] for seed in both)
        told = (
            f"Nothing can be told: networks reach a Dice of {start:.2f} with the first {labels[0]} "
            f"labels, and {best:.2f} with all {all_labels}."
        )
        if start >= NEARLY_ALL:
            return [
                told,
                "The first ones are enough: there is nothing that a choice could gain.",
                "Next: fewer images at the --start and in a --batch, or harder images.",
            ]
        return [
            told,
            f"With {options.steps} steps they are probably cut off before labels show.",
            f"Next: more --steps, such as {2 * options.steps}.",
        ]
    if all(one.difference == 0 and not one.spread for one in live.values()):
        return [
            "Nothing can be told: all strategies came to the very same, for they chose among too "
            "few images.",
            "Next: smaller batches (--batch), or more images.",
        ]
    if not _rises(first, last):
        return [
            f"Nothing can be told: from {labels[0]} to {labels[1]} labels drawn by chance the Dice "
            f"{_no_rise(first, last)}.",
            *_doubts(results, None),
            f"Next: more labels (--rounds {2 * options.rounds}), or more --steps, such as "
            f"{2 * options.steps}.",
        ]
    return []


def _gain(
    results: Results, live: Mapping[str, Comparison], better: Sequence[str], loop: Loop | None
) -> list[str]:
    best = better[0]
    one = live[best]
    others = f"; so do {', '.join(better[1:])}" if len(better) > 1 else ""
    lines = [
        f"{best} gains {'little ' if one.difference < LITTLE else ''}over random: a Dice "
        f"{_amount(one.difference)} higher on average over the labels played, beyond chance "
        f"(p {_p(one.p_holm)} with {counted(one.n, 'seed')}){others}."
    ]
    if needed := results.labels_for_randoms_last(best):
        ours, randoms = needed
        about = f"With about {ours:.0f} labels it reaches what random reaches with {randoms:.0f}"
        saved = f"{1 - ours / randoms:.0%} of the labels" if ours < 0.995 * randoms else "no label"
        lines.append(f"{about}: {saved} saved.")
    else:
        lines.append("What it saves in labels can't be told: their curves don't meet.")
    lines += _worse(live)
    lines += _doubts(results, loop)
    return [*lines, _setting(results, best, better, loop)]


def _no_gain(
    results: Results,
    compared: Mapping[str, Comparison],
    live: Mapping[str, Comparison],
    loop: Loop | None,
) -> list[str]:
    # Of one seed nothing can be told; what was played more often comes before it.
    best = max(live, key=lambda name: (live[name].n > 1, live[name].difference))
    one, doubts = live[best], _doubts(results, loop)
    if one.detectable is None:
        return [
            f"One seed can't tell a gain from chance: {best} differs from random by "
            f"{signed(one.difference, 3)} Dice here, and another start might turn that round.",
            *doubts,
            f"Next: --seeds {max(ENOUGH_SEEDS, 2 * results.table.options.seeds)}.",
        ]
    lines = [
        f"No strategy gains over random beyond chance with these {one.n} seeds; best is {best}, "
        f"with a Dice {_more_or_less(one.difference)} (p {_p(one.p_holm)})."
    ]
    is_clear = one.detectable <= LEAST_RISE
    if is_clear:
        would = f"A gain of {_amount(one.detectable)} would have shown"
        lines.append(f"{would}, so none is worth a change.")
    else:
        is_possible = one.detectable < 1.0 - fmean(results.aubc()[RANDOM].values())
        would = f"Less than about {one.detectable:.3f}" if is_possible else "Even the greatest gain"
        lines.append(
            f"{would} would not have shown: that is no proof that there is nothing to gain."
        )
    worse = _worse(live)
    if not worse and ORACLE in compared and compared[ORACLE].is_better:
        worse = [
            f"Who knew the classes beforehand would gain {_amount(compared[ORACLE].difference)}, "
            "but nobody does, and no strategy found it out."
        ]
    lines += [*worse, *doubts]
    present = _present(loop)
    if present in live and live[present].is_worse:
        return [*lines, f"Next: nnloop connect PROJECT --query-strategy {RANDOM}."]
    keep = f"nothing speaks against {_named(loop)}" if present in (*live, RANDOM) else ""
    if doubts:
        more = f"more --steps, such as {2 * results.table.options.steps}"
    elif is_clear:
        more = ""
    elif one.difference > 0 and (needed := one.pairs_needed(MOST_SEEDS)) and needed > one.n:
        more = f"--seeds {needed} would show whether this difference is true"
    else:
        more = f"more seeds (--seeds {min(2 * one.n, MOST_SEEDS)})" if one.n < MOST_SEEDS else ""
    ahead = "; ".join(part for part in (more, keep) if part)
    return [*lines, f"Next: {ahead or 'play other --strategies'}."]


def _worse(live: Mapping[str, Comparison]) -> list[str]:
    worse = [name for name, one in live.items() if one.is_worse]
    return [f"Worse than random beyond chance: {', '.join(worse)}."] if worse else []


def _doubts(results: Results, loop: Loop | None) -> list[str]:
    """One sentence about steps that were too few to tell much; [] where nothing says so."""
    full = results.reachable
    if not full:
        return []
    reached, first = fmean(full.values()), results.dice_at(RANDOM, 0)
    if loop is not None and loop.dice is not None and reached < OWN_SHARE * loop.dice:
        return [
            f"Doubtful: with all labels these networks reach a Dice of {reached:.2f}, the "
            f"project's own {loop.version} {loop.dice:.2f}; more --steps may change the picture."
        ]
    if not _rises(first, full):
        return [
            f"Doubtful: all {len(results.table.pool)} labels together reach no more than the first "
            "ones; more --steps may change the picture."
        ]
    return []


def _setting(results: Results, best: str, better: Sequence[str], loop: Loop | None) -> str:
    """What to set, or that it is set."""
    present = _present(loop)
    if present == best:
        return f"Next: nothing to change, {_named(loop)} is it."
    if present in better and not _beats(results, best, present):
        return f"Next: nothing to change, {_named(loop)} is as good as far as can be told."
    last = "" if present in results.rounds else f"; {_named(loop)} was not played"
    return f"Next: nnloop connect PROJECT --query-strategy {best}{last}."


def _beats(results: Results, ours: str, theirs: str) -> bool:
    areas = results.aubc()
    seeds = sorted(areas[ours].keys() & areas[theirs].keys())
    a, b = [areas[ours][s] for s in seeds], [areas[theirs][s] for s in seeds]
    return bool(seeds) and fmean(a) > fmean(b) and paired_p(a, b) < ALPHA


def _rises(first: Mapping[int, float], then: Mapping[int, float]) -> bool:
    """Whether a Dice is higher than another by something, beyond the noise of the seeds."""
    seeds = sorted(first.keys() & then.keys())
    if not seeds:
        return True  # nobody knows
    a, b = [then[seed] for seed in seeds], [first[seed] for seed in seeds]
    if fmean(a) < fmean(b) + LEAST_RISE:
        return False
    # One-sided: half of the two-sided p.
    return len(seeds) < RISE_SEEDS or paired_p(a, b) / 2 < ALPHA


def _no_rise(first: Mapping[int, float], then: Mapping[int, float]) -> str:
    """What a Dice does that does not rise by something."""
    rise = fmean(then.values()) - fmean(first.values())
    if rise <= -LEAST_RISE:
        return f"falls by {-rise:.3f}"
    if rise < LEAST_RISE:
        return f"changes by {signed(rise, 3)}, which is as good as nothing"
    return f"rises by {rise:.3f} on average, which does not stand out of the noise"


def _labels(results: Results) -> tuple[int, int]:
    """At random's first training, and at its last."""
    rounds = next(iter(results.rounds[RANDOM].values()))
    return rounds[0].n_labelled, rounds[-1].n_labelled


def _present(loop: Loop | None) -> str:
    """The strategy that acts now."""
    name = loop.query_strategy if loop is not None else "auto"
    return WITH_MODEL if name == "auto" else name


def _named(loop: Loop | None) -> str:
    if loop is None or loop.query_strategy == "auto":
        return f"the default (auto: {WITH_MODEL})"
    return f"the project's {loop.query_strategy}"


def _amount(value: float) -> str:
    """Of a Dice, above 0."""
    return "less than 0.001" if value < 0.0005 else f"{value:.3f}"


def _more_or_less(difference: float) -> str:
    amount = _amount(abs(difference))
    return f"{amount} {'higher' if difference > 0 else 'lower'}" if difference else "no higher"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
