"""doctor: what is wrong, and the exact command or setting to mend it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from backend.cli.outputs import output_file
from backend.cli.shared import AsJson, DataDir, console, settings
from backend.cli.views.sentences import heading, say, wrapped
from domain.errors import SettingsError
from domain.text import counted, one_line

if TYPE_CHECKING:
    from backend.doctor.examine import Looked
    from backend.doctor.support.redaction import Redactor
    from backend.doctor.visit import Visit


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    project: Annotated[
        str | None, typer.Argument(help="Id or title; without it: every connected project.")
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Mend what can be mended safely, say what was done, and look again."
        ),
    ] = False,
    as_json: AsJson = False,
    support_file: Annotated[
        Path | None,
        output_file(
            "--support-file",
            help="Write a zip for whoever helps: findings, settings, versions, failed jobs, ends "
            "of logs; without keys, passwords, names of people or images.",
            metavar="FILE",
        ),
    ] = None,
    hide_images: Annotated[
        bool, typer.Option("--hide-images", help="Name no image; a support file never does.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Look for what is wrong, from the disk to the annotators' tabs, and say how to mend it.

    Every line is a question and its answer; under what is wrong stands the exact command or
    setting. Nothing is changed without --fix. Exit code 0: all is well; 1: something is wrong; 3:
    nothing is, as far as could be looked.

    Example: nnloop doctor 3

    Example: nnloop doctor "Carotid" --fix

    Example: nnloop doctor --support-file nnloop-support.zip
    """
    from backend.doctor.patient import Patient
    from backend.doctor.report import exit_code_of, report_of
    from backend.doctor.support.known import Known
    from backend.doctor.support.write import write_support_file
    from backend.doctor.visit import Visit

    try:
        chosen = settings(data_dir)
    except SettingsError as error:
        _no_settings(error, as_json)
        return
    known = Known()
    visit = Visit(Patient(chosen), fix, hide_images, known=known)
    page = _Page(visit)
    if not as_json:
        visit.on_look, visit.on_project = page.show, page.begin_project
        heading("Installation")
    looked = visit.make(project)
    if as_json:
        typer.echo(json.dumps(report_of(looked, visit.redactor), indent=1))
    else:
        page.end_section()
        _sum_up(looked, fix)
    if support_file is not None:
        visit.know_images()
        write_support_file(
            support_file, visit.patient, looked, known, knows_people=visit.knows_people
        )
        if not as_json:
            say(f"Wrote {support_file}. Look through it before you give it away.")
    raise typer.Exit(exit_code_of(looked))


def _no_settings(error: SettingsError, as_json: bool) -> None:
    from backend.doctor.check import wrong
    from backend.doctor.examine import Looked
    from backend.doctor.report import exit_code_of, report_of
    from backend.doctor.support.redaction import Redactor
    from backend.doctor.visit import SETTINGS

    looked = [Looked(SETTINGS, wrong(str(error), error.remedy))]
    if as_json:
        typer.echo(json.dumps(report_of(looked, Redactor()), indent=1))
    else:
        _print(looked[0], Redactor())
        say("Nothing else was looked at: without settings nothing can be.")
    raise typer.Exit(exit_code_of(looked))


NOT_LOOKED = "not looked at"
_LEADS = {
    "fine": "[green]ok[/green]",
    "note": "[yellow]note[/yellow]",
    "wrong": "[bold red]WRONG[/bold red]",
    NOT_LOOKED: "[magenta]?[/magenta]",
}
_INDENT = 6
"""Columns of the word that says how it is."""


class _Page:
    """What is printed while it is looked at."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._lacking: dict[str, list[str]] = {}

    def begin_project(self, project_id: int) -> None:
        """Ends what was said before, and names the project."""
        self.end_section()
        heading(f"Project {project_id}")

    def show(self, one: Looked) -> None:
        """Prints a finding; what could not be looked at for the same reason comes together."""
        if one.lacks:
            self._lacking.setdefault(one.finding.answer, []).append(one.check.question)
        else:
            _print(one, self._visit.redactor)

    def end_section(self) -> None:
        """Prints what could not be looked at."""
        for why, questions in self._lacking.items():
            said = f"Not looked at, because {why}: {' '.join(questions)}"
            _say_under(_LEADS[NOT_LOOKED], said)
        self._lacking.clear()


def _print(one: Looked, redactor: Redactor) -> None:
    finding = one.finding
    answer = one_line(redactor.text(finding.answer), 1_000)
    if finding.state == NOT_LOOKED:
        answer = f"not looked at: {answer}"
    if one.mended:
        _say_under("", f"Mended: {redactor.text(one.mended)}")
    _say_under(_LEADS[finding.state], f"{one.check.question} {answer}")
    if finding.fix:
        _say_under("", f"Fix: {one_line(redactor.text(finding.fix), 1_000)}")


def _say_under(lead: str, text: str) -> None:
    """Prints a sentence behind a word, in lines that begin at the same column."""
    width = console.width - _INDENT if console.is_terminal else 0
    for number, line in enumerate(wrapped(text, width).split("\n")):
        first = Text() if number else Text.from_markup(lead)
        first.pad_right(_INDENT - first.cell_len)
        console.print(first + line, soft_wrap=True, highlight=False)


def _sum_up(looked: list[Looked], fixed: bool) -> None:
    states = [str(one.finding.state) for one in looked]
    n_wrong, n_unknown = states.count("wrong"), states.count(NOT_LOOKED)
    parts = []
    if n_wrong:
        parts.append(f"{counted(n_wrong, 'thing is', 'things are')} wrong")
    if n_unknown:
        parts.append(f"{counted(n_unknown, 'thing')} could not be looked at")
    if not parts:
        say(f"All is well ({counted(len(looked), 'answer')}).")
        return
    said = " and ".join(parts)
    n_mendable = sum(one.finding.mend is not None for one in looked)
    which = "it" if n_wrong == 1 else "all" if n_mendable == n_wrong else f"{n_mendable} of them"
    more = f" --fix mends {which}." if n_mendable and not fixed else ""
    say(f"{said[0].upper()}{said[1:]}.{more}")
