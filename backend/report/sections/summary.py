"""The summary: how good, on how many labels, what more would give, and what is doubtful."""

from __future__ import annotations

from collections.abc import Iterable

from backend.pipeline.progress.words import THIN, gain_in_words
from backend.pipeline.quality.calibrate import reliability_of
from backend.pipeline.queues.report import beside_chance, too_few
from backend.report.figures import ReportFigures, VersionFigures
from backend.report.section import Section, Tile
from backend.report.sections.words import interval, percent, within
from domain.states import VersionOrigin
from domain.text import counted, signed

NINE_TENTHS = 1.645
"""Standard errors on each side that hold 9 of 10 means."""

_MORE = 50
"""Further labels of which the summary speaks."""

_FEW_CASES = 10
_WEAK = 0.15
"""A class so far below the mean of all is named."""

_MOST_CLASSES = 3
"""Classes that are named of those that are found badly, or of which nothing is known."""

_BIAS, _COVERAGE = 0.05, 0.8
"""Scores are doubted from this bias on, and below this share inside their 90 % intervals."""

_TELLS, _FEW_PAIRS = 0.6, 20
"""Scores are doubted when the worst tenth is found less surely, by so many images or more."""


def summary_section(figures: ReportFigures) -> Section:
    """What a reader needs who reads nothing else."""
    serving = figures.serving
    if serving is None:
        return Section(
            "summary",
            "In short",
            sentences=[
                f"{figures.n_labelled} of {counted(figures.n_tasks, 'image')} are labelled. No "
                "model has been trained yet, so nothing can be said about quality."
            ],
            missing=f"Next training: {figures.waiting_for}",
        )
    sentences = [
        f"{serving.name} makes the predictions. {_origin(serving)} {figures.n_labelled} of "
        f"{counted(figures.n_tasks, 'image')} of the project are labelled by now.",
        _quality(serving),
        *_on_the_whole(figures),
        _more(figures),
        *([figures.learning.enough.reason] if figures.learning.enough else []),
        *_pays(figures),
    ]
    doubts = list(_doubts(figures, serving))
    if doubts:
        sentences.append("What is doubtful:")
    return Section("summary", "In short", sentences, tiles=list(_tiles(figures, serving)),
                   points=doubts)  # fmt: skip


def _origin(serving: VersionFigures) -> str:
    if serving.origin is VersionOrigin.IMPORTED:
        return "It was trained elsewhere, on what nobody here knows."
    made = "averages versions that were" if serving.origin is VersionOrigin.ENSEMBLE else "was"
    return f"It {made} trained on {counted(serving.labels, 'labelled image')}."


def _quality(serving: VersionFigures) -> str:
    if serving.dice is None:
        return (
            "How good it is can't be told from its training: no image was held out. Corrections "
            "of its predictions will tell."
        )
    error = serving.standard_error
    value = (
        f"{serving.dice:.2f}"
        if error is None
        else interval(
            serving.dice, serving.dice - NINE_TENTHS * error, serving.dice + NINE_TENTHS * error
        )
    )
    return (
        f"On {counted(serving.n, 'labelled image')} that were held out, each predicted by a "
        f"network which was not trained on it, the mean Dice of an image is {value}. Dice says "
        "how far a prediction and an annotation overlap: 0 is not at all, 1 in every pixel. The "
        "brackets hold the true mean 9 times of 10."
    )


def _on_the_whole(figures: ReportFigures) -> Iterable[str]:
    if figures.of_files:
        yield "How good it is on other images depends on how like these they are."
        return
    if figures.control_arm is None or figures.control_arm.is_few:
        yield (
            "Held-out images are those somebody chose to label; how good predictions are on the "
            "whole, and whether choosing images pays against drawing them by chance, is not known "
            f"yet: {too_few(figures.control_arm)}."
        )
        return
    quality = figures.control_arm.quality
    yield (
        f"On the whole it is {interval(quality.mean, quality.low, quality.high)}: what people made "
        f"of predictions on {counted(quality.n, 'image')} that chance alone drew, of this and "
        "earlier versions."
    )


def _more(figures: ReportFigures) -> str:
    learning = figures.learning
    if _MORE not in learning.gains:
        return f"What more labels would give can't be told yet: {learning.missing}."
    return (
        f"{_MORE} more labels would probably add {gain_in_words(learning.gains[_MORE])} to the "
        f"mean Dice{f' ({THIN})' if learning.is_thin else ''}."
    )


def _pays(figures: ReportFigures) -> Iterable[str]:
    arm = figures.control_arm
    if figures.of_files or arm is None or arm.is_few:
        return  # said with the quality on the whole
    gain = arm.gain
    if gain is None:
        yield "Whether choosing images pays against drawing them by chance is not known yet."
        return
    found = f"{gain.strategy} finds {beside_chance(gain.mean, gain.low, gain.high)}"
    if gain.pays is None:
        yield f"Whether choosing images pays is open: {found}, of too few images to tell."
    elif gain.pays:
        yield f"Choosing images pays: {found}."
    else:
        yield (
            f"Choosing images does not pay: {found}, which may be nothing. The setting "
            "turn_to_random would draw by chance."
        )


def _tiles(figures: ReportFigures, serving: VersionFigures) -> Iterable[Tile]:
    if serving.dice is not None:
        of = f"mean Dice on {counted(serving.n, 'held-out image')}"
        if error := serving.standard_error:
            half = NINE_TENTHS * error
            of += f" ({within(serving.dice - half, serving.dice + half)})"
        yield Tile(f"{serving.dice:.2f}", of)
    if figures.control_arm is not None and not figures.control_arm.is_few:
        quality = figures.control_arm.quality
        drawn = counted(quality.n, "image")
        of = f"mean Dice on the whole ({within(quality.low, quality.high)}), by {drawn} that "
        yield Tile(f"{quality.mean:.2f}", f"{of}chance drew")
    if serving.origin is not VersionOrigin.IMPORTED:
        yield Tile(str(serving.labels), "labels it was trained on")
    gain = figures.learning.gains.get(_MORE)
    if gain is not None and not figures.learning.is_thin:
        yield Tile(
            signed(gain.value, 3),
            f"Dice from {_MORE} more labels, probably ({gain.low:.3f} to {gain.high:.3f})",
        )


def _doubts(figures: ReportFigures, serving: VersionFigures) -> Iterable[str]:
    if serving.remark:
        yield f"Of {serving.name}: {serving.remark}"
    if 0 < serving.n < _FEW_CASES:
        were = "was" if serving.n == 1 else "were"
        yield f"Only {counted(serving.n, 'image')} {were} held out: its Dice may be far off."
    yield from _weak_classes(figures)
    for kind, some in figures.scores.items():
        found = reliability_of(some)
        if found.bias is not None and abs(found.bias) > _BIAS:
            way = "high" if found.bias > 0 else "low"
            yield (
                f"Scores are too {way} by {abs(found.bias):.2f} on average, "
                f"on {counted(found.n, 'image')} ({kind})."
            )
        if found.auroc is not None and found.n >= _FEW_PAIRS and found.auroc < _TELLS:
            yield (
                f"Scores hardly tell which images are worst, on {counted(found.n, 'image')} "
                f"({kind}): one of the worst tenth has the lower score in {percent(found.auroc)} "
                "of pairs with another; by chance it would be 50 %."
            )
        if found.coverage is not None and found.coverage < _COVERAGE:
            yield (
                f"Only {percent(found.coverage)} of {counted(found.n_intervals, 'image')} ({kind}) "
                "lie in the interval of their score that should hold 90 %."
            )
    if figures.n_problems:
        one = figures.n_problems == 1
        where = "nnloop train" if figures.of_files else "nnloop status"
        yield (
            f"{counted(figures.n_problems, 'problem')} of the project {'is' if one else 'are'} "
            f"open; {where} names {'it' if one else 'them'}."
        )


def _weak_classes(figures: ReportFigures) -> Iterable[str]:
    """The worst, and those of which nothing is known; never a line for each of many."""
    known = {one: one.dice for one in figures.classes if one.dice is not None}
    mean = sum(known.values()) / len(known) if known else 0.0
    weak = sorted((dice, one.name, one.n) for one, dice in known.items() if dice < mean - _WEAK)
    for dice, name, n in weak[:_MOST_CLASSES]:
        yield (
            f"{name} is found badly: Dice {dice:.2f} on {counted(n, 'held-out image')}, the mean "
            f"of all classes is {mean:.2f}."
        )
    if len(weak) > _MOST_CLASSES:
        more = counted(len(weak) - _MOST_CLASSES, "more class", "more classes")
        yield f"Found badly too: {more}; their Dice is in the table below."
    unseen = [one.name for one in figures.classes if one.dice is None]
    if unseen:
        named = ", ".join(unseen[:_MOST_CLASSES])
        more = f" and {len(unseen) - _MOST_CLASSES} more" if len(unseen) > _MOST_CLASSES else ""
        yield f"How well {named}{more} would be found is not known: no held-out image shows it."
