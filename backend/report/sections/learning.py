"""The section on the learning curve."""

from __future__ import annotations

from collections import defaultdict

from backend.pipeline.progress.held_out import LeftOutVersion
from backend.pipeline.progress.learning import Learning
from backend.pipeline.progress.words import THIN, gain_in_words, not_enough
from backend.report.charts.learning_chart import draw_learning
from backend.report.figures import ReportFigures
from backend.report.section import Block, Picture, Section, Table
from backend.report.sections.words import figure, interval
from domain.text import counted

_MOST_NAMED = 5


def learning_section(figures: ReportFigures) -> Section:
    """Quality against labels, and what more of them would give."""
    learning = figures.learning
    if not learning.versions:
        return Section(
            "learning", "What labels bring", missing=f"No learning curve yet: {learning.missing}."
        )
    sentences = [
        f"Every version is judged on the same {counted(learning.n_cases, 'image')}, those that "
        f"{learning.newest} held out: what a version would reach on images it was not tried on "
        "follows from those it shares with the others. So harder images that came later don't "
        "make later versions look worse, nor easier ones better. An image whose label was changed "
        "is not compared.",
    ]
    if learning.gains:
        first, *others = learning.gains.items()
        told = "".join(f", {more} more {gain_in_words(gain)}" for more, gain in others)
        sentences.append(
            f"From {counted(learning.labels, 'label')} on, {first[0]} more would probably add "
            f"{gain_in_words(first[1])} to the mean Dice{told}. The brackets hold the true gain 9 "
            "times of 10, if labelling and training go on as before."
        )
        if learning.is_thin:
            sentences.append(f"{THIN[:1].upper()}{THIN[1:]}.")
        left = figures.n_tasks - figures.n_labelled
        if left < max(learning.gains):
            sentences.append(f"The project has {counted(left, 'image')} left to label.")
    if learning.is_asked or not figures.of_files:
        sentences.append(_enough(learning))
    sentences += _left_out(learning.left_out)
    picture = Picture(
        draw_learning(learning, figures.target),
        _alt(learning),
        "Bars are 90 % intervals."
        + (
            " Diamonds are what people made of predictions on images that chance drew while a "
            "version served."
            if learning.pool
            else ""
        ),
    )
    blocks: list[Block] = [picture, _table(learning)]
    if learning.pool:
        blocks.append(_pool_table(learning))
    return Section(
        "learning",
        "What labels bring",
        sentences,
        blocks,
        missing=f"What more labels would give can't be told yet: {learning.missing}."
        if learning.missing
        else "",
    )


def _enough(learning: Learning) -> str:
    if learning.enough is not None:
        return f"Labels are enough by what was set: {learning.enough.reason} Training goes on."
    if not learning.is_asked:
        return (
            "Nobody has said what would be enough: nnloop connect PROJECT --target-quality 0.9, or "
            "--least-gain-per-hour 0.01, lets this page say when it is."
        )
    if learning.unjudged:
        return (
            "Whether labels are enough by what was set is not known yet. Not judged: "
            f"{learning.unjudged}."
        )
    return f"{not_enough(learning)}."


def _left_out(left_out: tuple[LeftOutVersion, ...]) -> list[str]:
    """A sentence per reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in left_out:
        by_reason[one.reason].append(one.name)
    return [
        f"Not on the curve: {', '.join(names[:_MOST_NAMED])}"
        f"{f' and {len(names) - _MOST_NAMED} more' if len(names) > _MOST_NAMED else ''} ({reason})."
        for reason, names in by_reason.items()
    ]


def _alt(learning: Learning) -> str:
    first, last = learning.versions[0], learning.versions[-1]
    return (
        f"Learning curve: mean Dice {first.quality:.2f} at {first.labels} labels, "
        f"{last.quality:.2f} at {last.labels} labels, {counted(len(learning.versions), 'version')}."
    )


def _table(learning: Learning) -> Table:
    return Table(
        f"Versions on the curve; Dice of images, on the {learning.n_cases} of {learning.newest}",
        ("Version", "Labels", "Dice", "± standard error", "Shared images", "Dice on its own", "n"),
        [
            (
                one.name,
                str(one.labels),
                figure(one.quality),
                figure(one.standard_error),
                str(one.n_shared),
                figure(one.held_out),
                str(one.n_held_out),
            )
            for one in learning.versions
        ],
    )


def _pool_table(learning: Learning) -> Table:
    return Table(
        "All images, by those that chance drew while a version served (90 % interval)",
        ("Version", "Labels", "Dice", "n"),
        [
            (
                point.version,
                str(point.labels),
                interval(point.quality.mean, point.quality.low, point.quality.high),
                str(point.quality.n),
            )
            for point in learning.pool
        ],
    )
