"""How export and import say what was done and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

from backend.cli.shared import console
from converters.report import FilesReport
from domain.annotation import LeftOut


def print_report(report: FilesReport, what: str, where: object) -> None:
    """Says what was done and what was left out and why.

    Raises:
        typer.Exit: With code 1 when there were tasks and none could be used.
    """
    console.print(
        f"[green]{report.done} {what}[/green] in {where} ({report.unchanged} were there already"
        + (f", {report.removed} removed" if report.removed else "")
        + ").",
        highlight=False,
        soft_wrap=True,
    )
    for remark in report.remarks:
        console.print(remark, highlight=False, markup=False)
    if not report.done and not report.n_tasks_left_out:
        console.print(f"[yellow]There was nothing to write:[/yellow] no {what} came.")
    if report.left_out:
        n_whole = report.n_tasks_left_out
        whole = f" ({n_whole} whole {what if n_whole > 1 else what[:-1]})" if n_whole else ""
        _print_notes(f"[yellow]Left out[/yellow]{whole}", report.left_out, report.examples)
    if report.noted:
        _print_notes("Used, with a remark", report.noted, report.noted_examples)
    console.print(f"The whole report: {report.path}", highlight=False, soft_wrap=True)
    if report.done == 0 and report.n_tasks_left_out:
        raise typer.Exit(1)


def _print_notes(title: str, counts: Mapping[str, int], examples: Sequence[LeftOut]) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in counts.items())
    console.print(f"{title}: {reasons}", highlight=False)
    for note in examples:
        console.print(f"  {note.message}", highlight=False, markup=False, soft_wrap=True)
    n_more = sum(counts.values()) - len(examples)
    if n_more:
        console.print(f"  ... and {n_more} more.", highlight=False)
