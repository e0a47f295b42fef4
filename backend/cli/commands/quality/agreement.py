"""agreement: how far the annotators of a project agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer
from rich.progress import track

from backend.cli.commands.projects import Project
from backend.cli.shared import AsJson, DataDir, connected, error_console, figure
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table

if TYPE_CHECKING:
    from backend.pipeline.evaluate.agreement import AgreementReport


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("agreement")(agreement)


def agreement(project: Project, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Compare the annotators of a project: Dice per class and pair, fresh from Label Studio.

    Areas of all tasks that both annotated are added up. Tasks counts those in which one of the two
    drew the class; a dash says that neither ever did.

    Example: nnloop agreement "Carotid" --json
    """
    from backend.pipeline.evaluate.agreement import agreement_report

    opened, project_id = connected(project, data_dir)
    report = agreement_report(
        opened,
        project_id,
        progress=lambda rows: track(rows, description="Comparing", console=error_console),
    )
    if as_json:
        typer.echo(json.dumps(as_value(report), indent=1))
        return
    if report.rows:
        _table(report).print()
    else:
        say("No task has annotations of two people yet.")
    for item in report.left_out:
        say(item.message, lead="[yellow]left out[/yellow]")


def as_value(report: AgreementReport) -> dict[str, object]:
    """The report as a JSON value; areas in pixels, ``dice`` null where neither drew the class."""
    return {
        "tasks": report.n_tasks,
        "pairs": [
            {
                "annotator_a": row.annotator_a,
                "annotator_b": row.annotator_b,
                "class": row.class_value,
                "dice": row.dice,
                "tasks": row.n_tasks,
                "area_a_px": row.area_a_px,
                "area_b_px": row.area_b_px,
                "overlap_px": row.overlap_px,
            }
            for row in report.rows
        ],
        "left_out": [
            {"task_id": item.task_id, "reason": item.reason, "message": item.message}
            for item in report.left_out
        ],
    }


def _table(report: AgreementReport) -> Table:
    table = Table(("Annotators", "Class", "Dice", "Tasks"))
    for row in report.rows:
        pair = f"{row.annotator_a} and {row.annotator_b}"
        table.add(pair, row.class_value, figure(row.dice), str(row.n_tasks))
    return table
