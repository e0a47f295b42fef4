"""How export and import say what was done and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer
from rich.markup import escape

from backend.cli.shared import console
from backend.cli.views.sentences import say
from backend.pipeline.files.deeds import ADDED, EDITED, MADE, REPLACED, UNCHANGED
from converters.bookkeeping.files_report import FilesReport
from domain.annotation import LeftOut
from domain.text import counted

_DEEDS = {
    MADE: ("task made", "tasks made"),
    ADDED: ("added to a task of the project", "added to tasks of the project"),
    REPLACED: ("in place of what an earlier import wrote",) * 2,
    UNCHANGED: ("unchanged since an earlier import",) * 2,
    EDITED: ("left as a person edited it", "left as a person edited them"),
}


def print_report(report: FilesReport, noun: str, place: object) -> None:
    """Says what was done and what was left out and why.

    Args:
        report: How it ended.
        noun: What one of them is called: ``task``.
        place: Where they are now.

    Raises:
        typer.Exit: With code 1 when there were tasks and none could be used.
    """
    done = f"[green]{counted(report.done, noun)}[/green] in {escape(str(place))}"
    if report.deeds:
        done += ": " + ", ".join(_in_words(kind, n) for kind, n in report.deeds.items())
    else:
        removed = f", {report.removed} removed" if report.removed else ""
        were = counted(report.unchanged, "was there already", "were there already")
        done += f" ({were}{removed})"
    console.print(f"{done}.", highlight=False, soft_wrap=True)
    for remark in report.remarks:
        say(remark)
    if not report.done and not report.n_tasks_left_out:
        console.print(f"[yellow]There was nothing to write:[/yellow] no {noun} came.")
    if report.left_out:
        n_whole = report.n_tasks_left_out
        whole = f" ({counted(n_whole, f'whole {noun}')})" if n_whole else ""
        _print_notes(f"[yellow]Left out[/yellow]{whole}", report.left_out, report.examples)
    if report.noted:
        _print_notes("Used, with a remark", report.noted, report.noted_examples)
    console.print(f"The whole report: {report.path}", highlight=False, markup=False, soft_wrap=True)
    if report.done == 0 and report.n_tasks_left_out:
        raise typer.Exit(1)


def _print_notes(title: str, counts: Mapping[str, int], examples: Sequence[LeftOut]) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in counts.items())
    say(reasons, lead=f"{title}:")
    for note in examples:
        console.print(f"  {note.message}", highlight=False, markup=False, soft_wrap=True)
    n_more = sum(counts.values()) - len(examples)
    if n_more:
        say(f"  ... and {n_more} more.")


def _in_words(kind: str, n: int) -> str:
    return counted(n, *_DEEDS[kind])
