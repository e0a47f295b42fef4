"""What `nnloop effort` shows of a project."""

from __future__ import annotations

from collections.abc import Sequence

from backend.cli.shared import figure
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from backend.pipeline.quality.effort import EffortLine, ProjectEffort
from backend.pipeline.quality.words import drawn_in_words, time_in_words
from backend.settings.duration import say_duration


def print_effort(found: ProjectEffort) -> None:
    """Prints the tables, what was saved, and warnings."""
    if not found.n:
        say(
            "Nobody has submitted a prediction of nnloop's yet"
            + (f"; {drawn_in_words(found)}." if found.n_drawn else ".")
        )
        return
    for title, lines in (
        ("Version", found.versions),
        ("Class", found.classes),
        ("Annotator", found.annotators),
    ):
        if lines:
            _table(title, lines).print()
    if found.saved is not None:
        say(time_in_words(found.saved).removeprefix("saved "), lead="Saved:")
    say(_beside(found))
    for warning in found.warnings:
        say(warning, lead="[yellow]Look:[/yellow]")


def _beside(found: ProjectEffort) -> str:
    words = f"Beside these, {drawn_in_words(found)}"
    if found.n_other:
        words += f"; what {found.n_other} began with can't be told"
    return f"{words}."


def _table(title: str, lines: Sequence[EffortLine]) -> Table:
    """Counts of regions and points stand side by side, as their column says."""
    is_timed = any(line.median_s is not None for line in lines)
    table = Table(
        (
            title,
            "Labelled",
            "Unchanged",
            "Dice",
            "Median time",
            "Regions kept / edited / removed / drawn",
            "Points moved / added / removed / drawn",
        )
    )
    for line in lines:
        done = line.effort
        regions = (done.n_kept, done.n_edited, done.n_removed, done.n_drawn)
        points = (done.points_moved, done.points_added, done.points_removed, done.points_drawn)
        median = "-" if line.median_s is None else say_duration(line.median_s)
        table.add(
            line.name,
            str(line.n),
            f"{line.n_unchanged} ({line.n_unchanged / line.n:.0%})",
            figure(line.dice),
            median if is_timed else "",
            [" / ".join(map(str, regions))],
            [" / ".join(map(str, points))],
        )
    return table
