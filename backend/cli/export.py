"""export: a project's cases as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from backend.cli.projects import Project
from backend.cli.shared import DataDir, console, context
from backend.pipeline.export import FORMATS, export_project
from backend.pipeline.status import find_connected
from domain.errors import SettingsError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    project: Project,
    out: Annotated[Path, typer.Option(help="Folder to write to; made if missing.")],
    format_: Annotated[
        str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")
    ] = "nnunet",
    data_dir: DataDir = None,
) -> None:
    """Write the labelled tasks of a project as files, fresh from Label Studio.

    nnunet: a raw data set (imagesTr, labelsTr, dataset.json) that nnUNetv2_plan_and_preprocess
    reads. Ends with what was left out and why.

    Example: nnloop export "Carotid" --format nnunet --out Dataset101_Carotid
    """
    if format_ not in FORMATS:
        raise SettingsError(
            f"There is no export format {format_!r}.", remedy=f"Choose one of {', '.join(FORMATS)}."
        )
    opened = context(data_dir)
    report = export_project(
        opened,
        find_connected(opened, project),
        out,
        progress=lambda rows: track(rows, description="Exporting", console=console),
    )
    console.print(f"[green]{report.done} cases written[/green] to {out}")
    for item in report.left_out:
        console.print(f"[yellow]left out[/yellow] {item.message}", highlight=False)
