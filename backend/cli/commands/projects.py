"""connect and status: a project's place in the loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from backend.cli.commands.hints import say_unconnected
from backend.cli.setting_options import values_of, with_settings
from backend.cli.shared import AsJson, DataDir, console, context, keep_private
from backend.cli.views.sentences import say
from backend.settings import ProjectSettings
from backend.settings.duration import say_duration
from backend.settings.option import flags_of, option_of
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext
    from backend.pipeline.queues.report import TabReport

Project = Annotated[str, typer.Argument(help="Id or title of the Label Studio project.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("connect")(connect)
    app.command("status")(status)


@with_settings()
def connect(
    project: Project,
    reset: Annotated[
        list[str] | None,
        typer.Option(
            help="Setting that goes back to its default, by its name in docs/settings.md: "
            "gpu_memory_gb; repeat for more.",
            metavar="SETTING",
        ),
    ] = None,
    data_dir: DataDir = None,
    **given: Any,
) -> None:
    """Connect a project: ML backend, webhook, uncertainty sampling, a tab for each annotator.

    `nnloop up` (or `serve`) must be running. Run it again to change settings or to repair: what is
    not given stays as it is. The defaults are those of a new project.

    Example: nnloop connect "Carotid" --min-annotations 12 --retrain-after 8

    Example: nnloop connect "Carotid" --reset n_folds --reset gpu_memory_gb
    """
    from backend.pipeline.connection.connect import connect as connect_project

    keep_private(data_dir)
    values = values_of(given)
    report = connect_project(context(data_dir), project, values, reset=reset or ())
    word = "Updated" if report.was_known else "Connected"
    say(f"project {report.project_id} {report.title!r}", lead=f"[green]{word}[/green]")
    for sentence in report.done:
        say(sentence)
    if changed := _changed(values, reset or ()):
        say(f"Set: {changed}")
    for sentence in report.warnings:
        say(sentence, lead="[yellow]Note:[/yellow]")
    say(f"Classes: {', '.join(report.classes)}")
    if report.tabs:
        say(
            "Annotators label in their own tab, by 'Label Tasks As Displayed', which stands behind "
            "the arrow beside 'Label All Tasks':"
        )
    for tab in report.tabs:
        console.print(f"  {escape(tab.name)}: {escape(tab.url)}", highlight=False, soft_wrap=True)
        words = _tasks_of(tab, is_to_be_read=report.is_to_be_read)
        console.print(f"    {words}", highlight=False, markup=False, soft_wrap=True)
    least, more = report.settings.min_annotations, report.settings.retrain_after
    say(
        f"Training starts at {counted(least, 'annotation')}, then after every "
        + ("new or changed one." if more == 1 else f"{more} new or changed ones.")
    )


def _changed(values: Mapping[str, Any], reset: Sequence[str]) -> str:
    """The options that were given, with what holds now; "" = none."""
    fields = ProjectSettings.model_fields

    def said(name: str, value: Any) -> str:
        flag = flags_of(name, fields[name])
        if isinstance(value, bool):
            return flag.split("/")[not value]
        if option_of(fields[name]).metavar == "DURATION":
            return f"{flag} {say_duration(value) if value else 'none'}"
        parts = value if isinstance(value, tuple) else (value,)
        texts = (f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
        return f"{flag} {' '.join(texts)}".strip()

    words = [said(name, value) for name, value in values.items()]
    words += [f"{flags_of(n, fields[n])} back to its default" for n in reset if n in fields]
    return ", ".join(words)


def _tasks_of(tab: TabReport, *, is_to_be_read: bool) -> str:
    """How many tasks a tab has, in what order, and why these."""
    from backend.pipeline.queues.words import meaning_of

    if not tab.left:
        return "its first tasks come in a moment" if is_to_be_read else "no task now"
    return (
        f"{counted(tab.left, 'task')}, the lowest score first, those without one by their number; "
        f"chosen by {' ('.join(meaning_of(tab.strategy).split(': ', 1))})"
    )


def status(
    project: Annotated[
        str | None, typer.Argument(help="Id or title; without it: every project.")
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="List the problem of every task in full.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Say what keeps nnloop from working; exit code 1 if something does."
        ),
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say what is labelled, what runs, what waits, what failed and why.

    Example: nnloop status "Carotid" --problems

    Example: nnloop status "Carotid" --json
    """
    from backend.cli.views.status_view import print_project, print_service
    from backend.pipeline.basis.connected import find_connected
    from backend.pipeline.status import all_reports, project_report, service_report
    from backend.pipeline.sync.hint_report import unconnected_reports

    opened = context(data_dir)
    if check:
        _check(opened, as_json)
        return
    service = service_report(opened)
    others = unconnected_reports(opened)
    if project is None:
        projects = all_reports(opened)
    else:
        projects = [project_report(opened, find_connected(opened, project))]
    if as_json:
        value = {
            "service": service.model_dump(mode="json"),
            "projects": [report.model_dump(mode="json") for report in projects],
            "unconnected": [one.model_dump(mode="json") for one in others],
        }
        typer.echo(json.dumps(value, indent=1))
        return
    print_service(service)
    say_unconnected(others)
    for report in projects:
        print_project(report, lists_problems=problems)
    if not projects:
        say("No project is connected. Connect one: nnloop connect PROJECT")


def _check(opened: AppContext, as_json: bool) -> None:
    from backend.pipeline.readiness import why_not_ready

    reasons = why_not_ready(opened)
    if as_json:
        typer.echo(json.dumps({"ready": not reasons, "reasons": reasons}))
    else:
        for reason in reasons or ["Ready."]:
            say(reason)
    if reasons:
        raise typer.Exit(1)
