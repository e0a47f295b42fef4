"""score, publish: what the loop does by itself, by hand; alike: images that look alike."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from backend.cli.commands.projects import Project
from backend.cli.shared import AsJson, DataDir, connected
from backend.cli.views.sentences import say
from domain.text import counted


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("score")(score)
    app.command("publish")(publish)
    app.command("alike")(alike)


def score(
    project: Project,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try the tasks that failed again, also those set aside.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Score the unlabelled tasks that the serving version has not seen, and push them.

    Example: nnloop score "Carotid"

    Example: nnloop score "Carotid" --retry
    """
    from backend.pipeline.runs.request import request_scoring

    opened, project_id = connected(project, data_dir)
    say(request_scoring(opened, project_id, retry=retry))


def publish(project: Project, data_dir: DataDir = None) -> None:
    """Push the serving version's predictions to Label Studio now, and retire older ones.

    Example: nnloop publish "Carotid"
    """
    from backend.pipeline.predictions.publish import try_publish
    from backend.pipeline.runs.request import nothing_serves

    opened, project_id = connected(project, data_dir)
    report = try_publish(opened, project_id, wholly=True)
    if report is None:
        raise nothing_serves(project_id)
    say(f"{counted(report.pushed, 'prediction')} of {report.version} pushed.")
    if report.dropped:
        say("See nnloop status.", lead=f"[red]Label Studio did not keep {report.dropped}.[/red]")


def alike(project: Project, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List labelled images that look alike: copies cut or turned otherwise, frames of one video.

    Found when a training begins. Sets of up to a fifth of the images count as one group, so that no
    fold is judged by what looks like its training images; `nnloop connect PROJECT --join-alike`
    joins larger ones too.

    Example: nnloop alike "Carotid"
    """
    from backend.pipeline.cases.alike import sets_of_project

    sets = sets_of_project(*connected(project, data_dir))
    if as_json:
        rows = [
            [{"task": row.task_id, "fold": row.fold, "group": row.group} for row in one]
            for one in sets
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    if not sets:
        say("No two labelled images of the last training look alike.")
    for one in sets:
        folds = {row.fold for row in one}
        where = "in one fold" if len(folds) == 1 else f"in {len(folds)} folds"
        say(f"Tasks {', '.join(str(row.task_id) for row in one)}: {where}.")
