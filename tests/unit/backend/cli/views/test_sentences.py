from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from backend.cli.views.sentences import say, wrapped


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # commands, each argument of them
        (
            "Yes: nnloop labels 2 --map lumen=Lumen; no: nnloop labels 2 --keep-apart lumen=Lumen",
            ["nnloop labels 2 --map lumen=Lumen;", "nnloop labels 2 --keep-apart lumen=Lumen"],
        ),
        # a title with a space, quoted
        (
            "Project 'Veins' is not connected. Connect it: nnloop connect 'My study'",
            ["nnloop connect 'My study'"],
        ),
        (
            "It is (nnloop models import a.zip --map 'a b=c d') what is to be done next, says it",
            ["(nnloop models import a.zip --map 'a b=c d')"],
        ),
        # an option that the sentence names by itself
        (
            "Put the label back; it reads it as another one, and --drop lumen counts it as nothing",
            ["--drop lumen"],
        ),
        # a path with a space
        (
            "Task 3: the image of the task '/data/upload/3/scan 3.png' is not there any more",
            ["'/data/upload/3/scan 3.png'"],
        ),
        # in words, a command has an end: the rest is wrapped
        (
            "Start it with `nnloop up` on the machine that the data folder is on, then try again",
            ["`nnloop up`"],
        ),
    ],
)
def test_commands_and_paths_stay_whole(text: str, kept: list[str]) -> None:
    lines = wrapped(text, 50).split("\n")
    assert max(map(len, lines)) <= 50 and len(lines) > 1
    assert " ".join(lines) == text
    for words in kept:
        assert any(words in line for line in lines)


def test_what_is_longer_than_a_line_has_one_of_its_own() -> None:
    path = "/data/" + "deep/" * 20 + "x.png"
    assert wrapped(f"See {path} for it", 40).split("\n") == ["See", path, "for it"]
    # A command that no line holds is broken between its words.
    command = f"nnloop import {path} --project 1"
    lines = wrapped(command, 40).split("\n")
    assert lines == ["nnloop import", path, "--project 1"]


def test_apostrophes_are_no_quotes() -> None:
    text = "Label Studio's token and the project's settings are both the admin's to change at once"
    assert wrapped(text, 30) == (
        "Label Studio's token and the\nproject's settings are both\nthe admin's to change at once"
    )


def _said(text: str, *, is_terminal: bool, lead: str = "") -> str:
    out = io.StringIO()
    console = Console(file=out, width=40, force_terminal=is_terminal, no_color=True)
    say(text, lead=lead, on=console)
    return out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_a_terminal_gets_lines_of_its_width_and_a_pipe_gets_one() -> None:
    text = "[All] that is said here does not fit into one line of it."
    assert _said(text, is_terminal=True, lead="[bold]Error:[/bold]").split("\n") == [
        "Error: [All] that is said here does not",
        "fit into one line of it.",
        "",
    ]
    assert _said(text, is_terminal=False) == text + "\n"


def test_wide_letters_count_twice() -> None:
    text = "The class 颈动脉内膜 is in 3 of 40 images, 颈动脉外膜 in none of those labelled."
    lines = wrapped(text, 40).split("\n")
    assert " ".join(lines) == text
    assert len(lines) > 2 and all(cell_len(line) <= 40 for line in lines)
