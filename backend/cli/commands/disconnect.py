"""disconnect: takes a project out of the loop."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.shared import DataDir, connected, keep_private
from backend.cli.views.sentences import say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("disconnect")(disconnect)


def disconnect(
    project: Annotated[str, typer.Argument(help="Id or title of the connected project.")],
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also delete nnloop's predictions in Label Studio, and cases, runs and versions.",
        ),
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Forget it here only; Label Studio is not asked.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Take a project out: ML backend, webhook, Data Manager tab; then forget it.

    Tasks and annotations stay as they are. Works for a project that was deleted in Label Studio.

    Example: nnloop disconnect "Carotid"
    """
    from backend.pipeline.connection.disconnect import disconnect as disconnect_project

    keep_private(data_dir)
    opened, project_id = connected(project, data_dir)
    for sentence in disconnect_project(opened, project_id, purge=purge, local=local):
        say(sentence)
