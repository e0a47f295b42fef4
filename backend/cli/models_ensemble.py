"""models ensemble: versions averaged into one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from backend.cli.progress import progress
from backend.cli.shared import AsJson, DataDir, console, context, figure
from backend.pipeline.models.ensemble import EnsembleReport, make_ensemble
from backend.pipeline.models.find import find_project


def register(models: typer.Typer) -> None:
    """Adds the command to `nnloop models`."""
    models.command("ensemble")(ensemble)


def ensemble(
    project: Annotated[str, typer.Argument(help="Id or title of the project.")],
    version: Annotated[
        list[str] | None,
        typer.Argument(help="Versions to average, 2 or more; none: the best pair there is."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Average versions into one, as nnU-Net's --npz and find_best_configuration do.

    Without versions, each alone and the mean of each pair are measured on the cases that all held
    out; the best pair becomes a version when it beats the best version. With versions, their mean
    becomes one. It then goes through the gate, and serves when it is not worse.

    Example: nnloop models ensemble "Carotid" nnloop-v3 nnloop-v4
    """
    opened = context(data_dir)
    project_id = find_project(opened, project)
    report = make_ensemble(opened, project_id, version or (), progress=progress)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
        return
    print_ensemble(report)


def print_ensemble(report: EnsembleReport) -> None:
    """What was measured, the best first, and what came of it."""
    for sentence in report.left_out:
        console.print(f"Not considered: {sentence}", highlight=False, markup=False, soft_wrap=True)
    if report.n_cases:
        cases = f"{report.n_cases} held-out cases" if report.n_cases > 1 else "1 held-out case"
        console.print(f"Mean Dice on the same {cases}:", highlight=False)
        table = Table()
        table.add_column("Versions")
        table.add_column("Dice", justify="right")
        for row in report.considered:
            table.add_row(" + ".join(row.versions), figure(row.dice))
        console.print(table)
    if not report.version:
        console.print(f"{report.reason}: no ensemble was made.", highlight=False, soft_wrap=True)
        return
    console.print(
        f"[green]{report.version}[/green] "
        + ("serves" if report.is_promoted else "does not serve")
        + f": {report.reason}.",
        highlight=False,
        soft_wrap=True,
    )
    if report.is_promoted:
        console.print("Its predictions follow; see `nnloop status`.", highlight=False)
