"""The section on effort: what labels cost people, and what predictions saved them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.pipeline.quality.effort import EffortLine, ProjectEffort
from backend.pipeline.quality.words import drawn_in_words, time_in_words
from backend.report.figures import ReportFigures
from backend.report.section import Section, Table
from backend.report.sections.words import figure
from backend.settings.duration import say_duration
from domain.text import counted

MOST_LINES = 20
"""Versions, classes or annotators that a table lists; the others are counted."""


def effort_section(figures: ReportFigures) -> Section:
    """What was done to predictions, and the time it took."""
    key, title, found = "effort", "What labels cost", figures.effort
    if not found.n:
        return Section(
            key,
            title,
            missing="Nobody has submitted a prediction yet; what these save is told from then on. "
            f"{drawn_in_words(found)}.",
        )
    # The newest versions are the last ones, the busiest annotators the first.
    tables = [
        _table("Version", found.versions[-MOST_LINES:], len(found.versions)),
        _table("Class", found.classes[:MOST_LINES], len(found.classes)),
        _table("Annotator", found.annotators[:MOST_LINES], len(found.annotators)),
    ]
    blocks = [table for table in tables if table.rows]
    return Section(key, title, list(_sentences(found)), blocks, points=found.warnings)


def _sentences(found: ProjectEffort) -> Iterable[str]:
    words = (
        f"{found.n_unchanged} of {counted(found.n, 'prediction')} that people submitted were left "
        f"as they were. {drawn_in_words(found)}"
    )
    if found.n_other:
        words += f"; what {found.n_other} more began with can't be told"
    yield f"{words}."
    if found.saved is not None:
        told = time_in_words(found.saved)
        yield f"Against drawing the same from nothing: {told}"
    if found.warnings:
        yield "Who submits more predictions unchanged than their quality allows:"


def _table(title: str, lines: Sequence[EffortLine], n: int) -> Table:
    caption = f"{title}: annotations that began with a prediction, and what was done to it"
    if n > len(lines):
        caption += f"; {n - len(lines)} more: nnloop effort lists them"
    return Table(
        caption,
        (
            title,
            "Labelled",
            "Unchanged",
            "Dice",
            "Median time",
            "Regions edited / removed / drawn",
            "Points moved / added / removed / drawn",
        ),
        [_row(line) for line in lines],
    )


def _row(line: EffortLine) -> tuple[str, ...]:
    done = line.effort
    regions = (done.n_edited, done.n_removed, done.n_drawn)
    points = (done.points_moved, done.points_added, done.points_removed, done.points_drawn)
    return (
        line.name,
        str(line.n),
        f"{line.n_unchanged} ({line.n_unchanged / line.n:.0%})",
        figure(line.dice),
        "-" if line.median_s is None else say_duration(line.median_s),
        " / ".join(map(str, regions)),
        " / ".join(map(str, points)),
    )
