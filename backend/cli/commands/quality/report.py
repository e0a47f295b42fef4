"""report: one page that says how a project stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.commands.projects import Project
from backend.cli.outputs import output_folder
from backend.cli.shared import DataDir, connected, console
from backend.cli.views.progress import steps


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("report")(report)


def report(
    project: Project,
    out: Annotated[
        Path | None,
        output_folder(help="Folder for report.html; made if missing. Default: nnloop-report-ID."),
    ] = None,
    cases: Annotated[
        int, typer.Option(min=0, max=100, help="Worst cases shown with pictures; 0: none.")
    ] = 8,
    data_dir: DataDir = None,
) -> None:
    """Write a page that says how a project stands: report.html, one file without anything beside.

    How good the serving version is and on what, what more labels would give, whether choosing
    images pays, how far scores can be believed, and the worst cases with pictures. It holds images
    of the project. Nothing is started or changed.

    Example: nnloop report "Carotid" --out report
    """
    from backend.report.write import ReportOptions, write_report

    opened, project_id = connected(project, data_dir)
    with steps() as on_step:
        # Of each project another: the page of one takes not the place of another's.
        folder = out or Path(f"nnloop-report-{project_id}")
        path = write_report(opened, project_id, ReportOptions(folder, cases), on_step)
    console.print(f"The report: {path}", highlight=False, markup=False, soft_wrap=True)
