"""How export and import say what was done and what was left out."""

from __future__ import annotations

import typer

from backend.cli.shared import console
from converters.report import FilesReport


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
    n_notes = sum(report.left_out.values())
    if n_notes:
        reasons = ", ".join(f"{n} {reason}" for reason, n in report.left_out.items())
        console.print(
            f"[yellow]{report.n_tasks_left_out} left out; notes:[/yellow] {reasons}",
            highlight=False,
        )
        for note in report.examples:
            console.print(f"  {note.message}", highlight=False, markup=False, soft_wrap=True)
        if n_notes > len(report.examples):
            console.print(f"  ... and {n_notes - len(report.examples)} more.")
    console.print(f"The whole report: {report.path}", highlight=False, soft_wrap=True)
    if report.done == 0 and report.n_tasks_left_out:
        raise typer.Exit(1)
