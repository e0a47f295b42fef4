"""hints: what webhooks came, and what nnloop did because of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.shared import AsJson, DataDir, ago, context
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.sync.hint_report import HintReport, UnconnectedReport

NAMED_TASKS = 5
"""Of the tasks of a hint so many are named; `--json` names all."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("hints")(hints)


def hints(
    project: Annotated[
        str | None,
        typer.Argument(
            help="Id or title, also the id of one that is not connected; without it: all."
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the webhooks that came, newest first, and what nnloop did because of each.

    What /predict and /setup told of and what a person asked for is among them. They are kept for 30
    days, of each project the newest 10,000; of one that is not connected the newest 100.

    Example: nnloop hints "Carotid" --last 50
    """
    from backend.pipeline.sync.hint_report import hint_reports, unconnected_reports

    opened = context(data_dir)
    found = hint_reports(opened, project or "", last)
    if as_json:
        typer.echo(json.dumps([hint.model_dump(mode="json") for hint in found], indent=1))
        return
    if found:
        _table(found, names_project=project is None).print()
    else:
        say(
            "No webhook has come. Label Studio's are under Settings, Webhooks; nnloop connect "
            "makes one."
        )
    if project is None:
        say_unconnected(unconnected_reports(opened))


def say_unconnected(others: Sequence[UnconnectedReport]) -> None:
    """Says which projects send webhooks and are not connected."""
    for one in others:
        say(
            f"Project {one.project} is not connected, and sends webhooks: "
            f"{counted(one.hints, 'is', 'are')} kept, the newest came {ago(one.newest_at)}. "
            f"Connect it: nnloop connect {one.project}. If it is not to be, delete its webhook in "
            "Label Studio.",
            lead="[yellow]Webhooks:[/yellow]",
        )


def _table(found: Sequence[HintReport], *, names_project: bool) -> Table:
    columns = ("Came", *(("Project",) if names_project else ()), "Action", "Tasks", "Decision")
    table = Table(columns)
    for hint in found:
        moment = datetime.fromtimestamp(hint.received_at).astimezone()
        table.add(
            moment.isoformat(" ", "seconds")[:19],
            *((str(hint.project),) if names_project else ()),
            hint.action,
            _tasks(hint.tasks),
            hint.decision,
        )
    return table


def _tasks(ids: Sequence[int]) -> str:
    named = ", ".join(map(str, ids[:NAMED_TASKS]))
    n_more = len(ids) - NAMED_TASKS
    return named + (f" (+{n_more})" if n_more > 0 else "")
