"""jobs: what nnloop is doing at this moment, what waits, and what failed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from backend.cli.shared import AsJson, DataDir, ago, context
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("jobs")(jobs)


def jobs(
    retry: Annotated[
        str, typer.Option(metavar="JOB", help="Give a job that failed again at once.")
    ] = "",
    cancel: Annotated[
        str, typer.Option(metavar="JOB", help="Cancel the training that a job works for.")
    ] = "",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the jobs: running, waiting, lost with their worker, failed in the last week and why.

    What failed or was lost is tried again by itself, more and more rarely.

    Example: nnloop jobs --retry sync-1
    """
    from backend.pipeline.runs.jobs import cancel_job, job_reports, retry_job

    opened = context(data_dir)
    if retry:
        retry_job(opened, retry)
        say(f"{retry} is given again.")
    if cancel:
        say(cancel_job(opened, cancel))
    if retry or cancel:
        return
    found = job_reports(opened)
    if as_json:
        typer.echo(json.dumps([job.model_dump(mode="json") for job in found]))
        return
    if not found:
        say("Nothing runs, waits or has failed.")
        return
    table = Table(("Job", "State", "Since", "Does", "Project", "Worker", "Cause"))
    for job in found:
        table.add(job.id, job.state, ago(job.since), job.does, job.project, job.worker, job.cause)
    table.print()
