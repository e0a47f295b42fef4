"""models ensemble: versions averaged into one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from backend.cli.shared import AsJson, DataDir, context, figure, keep_private
from backend.cli.views.progress import progress
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.ensembles.choose import EnsembleReport


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
    from backend.pipeline.ensembles.choose import make_ensemble
    from backend.pipeline.models.find import find_project

    keep_private(data_dir)
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
        say(f"Not considered: {sentence}")
    if report.n_cases:
        cases = counted(report.n_cases, "held-out case")
        say(f"Mean Dice per image on the same {cases}, before postprocessing:")
        table = Table(("Versions", "Dice"))
        for row in report.considered:
            table.add(" + ".join(row.versions), figure(row.dice))
        table.print()
    if not report.version:
        say(f"{report.reason}: no ensemble was made.")
        return
    serves = "serves" if report.is_promoted else "does not serve"
    say(f"{serves}: {report.reason}.", lead=f"[green]{escape(report.version)}[/green]")
    if report.is_promoted:
        say("Its predictions follow; see `nnloop status`.")
