"""The `nnloop` program: its commands, and how it says what went wrong."""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from backend import log_lines
from backend.cli.commands import (
    actions,
    backup,
    demo,
    disconnect,
    doctor,
    export,
    hints,
    import_,
    jobs,
    labels,
    models,
    predict,
    projects,
    stack,
    training_log,
    training_runs,
    watching,
)
from backend.cli.commands.quality import agreement, effort, evaluate, qa, replay, report
from backend.cli.outputs import begin, of_output
from backend.cli.shared import console, error_console, settings
from backend.cli.views.sentences import say
from backend.settings.private_folder import make_private
from backend.stack.log_file import Rotation, set_aside
from domain.errors import NnloopError
from domain.text import one_line

app = typer.Typer(
    name="nnloop",
    help="nnU-Net inside Label Studio's labelling loop.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nnloop {version('nnloop')}")
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """nnU-Net inside Label Studio's labelling loop."""


for module in (
    stack,
    projects,
    disconnect,
    doctor,
    training_runs,
    training_log,
    watching,
    predict,
    actions,
    export,
    import_,
    demo,
    agreement,
    effort,
    evaluate,
    models,
    backup,
    jobs,
    hints,
    labels,
    qa,
    replay,
    report,
):
    module.register(app)


def _flow(program: typer.Typer) -> None:
    """Makes each paragraph of a help one line, for the terminal to wrap.

    Typer keeps the line breaks of a docstring, which come on top of those of the terminal.
    """
    for command in program.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        paragraphs = inspect.cleandoc(text).split("\n\n")
        command.help = "\n\n".join(" ".join(one.split()) for one in paragraphs)
    for group in program.registered_groups:
        if group.typer_instance is not None:
            _flow(group.typer_instance)


_flow(app)


def main() -> None:
    """Runs a command; an error is one sentence and a remedy, the traceback goes to the log."""
    # Services log more, by their setting; a command has said what it did when it ends.
    log_lines.begin()
    begin()
    try:
        # Wrong options, help and Ctrl-C are Typer's to say and to exit with; the class of those
        # errors differs between its releases.
        app()
    except NnloopError as error:
        _say(str(error), error.remedy)
        logging.getLogger(__name__).debug("Traceback:", exc_info=error)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: people get a sentence
        known = of_output(error) if isinstance(error, OSError) else None
        if known is not None:
            _say(str(known), known.remedy)
            sys.exit(1)
        log = _log_traceback(error)
        _say(f"Unexpected {type(error).__name__}: {one_line(error)}", f"The details are in {log}.")
        sys.exit(1)


def _say(message: str, remedy: str) -> None:
    say(message, lead="[bold red]Error:[/bold red]", on=error_console)
    if remedy:
        say(remedy, on=error_console)


def _log_traceback(error: Exception) -> Path:
    try:
        chosen = settings()
        make_private(chosen.data_dir, chosen.umask_bits)
        folder = chosen.data_dir / "logs"
        folder.mkdir(exist_ok=True)
    except (NnloopError, OSError):
        folder = Path.cwd()
    path = folder / "nnloop.log"
    with contextlib.suppress(OSError):
        if path.stat().st_size > Rotation().max_bytes:
            set_aside(path, Rotation())
    with path.open("a") as file:
        traceback.print_exception(error, file=file)
    return path


__all__ = ["app", "console", "main"]
