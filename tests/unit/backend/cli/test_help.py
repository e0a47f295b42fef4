"""What `--help` prints on a terminal of 80 columns."""

from __future__ import annotations

import itertools

import pytest
import typer
from typer.testing import CliRunner

from backend.cli.main import app

WIDTH = 80


def _commands() -> list[list[str]]:
    names = [[command.name or ""] for command in app.registered_commands]
    for group in app.registered_groups:
        assert isinstance(group.typer_instance, typer.Typer)
        name = group.typer_instance.info.name or ""
        inner = group.typer_instance.registered_commands
        assert isinstance(name, str) and inner
        names += [[name, c.name or (c.callback.__name__ if c.callback else "")] for c in inner]
    return names


def _help(command: list[str]) -> list[str]:
    ended = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(WIDTH)})
    assert ended.exit_code == 0, ended.output
    return [line.rstrip() for line in ended.output.splitlines()]


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_paragraphs_are_wrapped_once_and_nothing_is_cut(command: list[str]) -> None:
    lines = _help(command)
    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)
    text = lines[: next(i for i, line in enumerate(lines) if line.startswith("╭"))]
    assert any("Example:" in line for line in text)
    for line, following in itertools.pairwise(text):
        if line and following:
            # The next word had no room: the line is not broken anywhere else.
            assert len(line) + 1 + len(following.split()[0]) > WIDTH - 1, line


def test_the_defaults_of_a_project_are_told() -> None:
    text = " ".join(" ".join(_help(["connect"])).replace("│", " ").split())
    for words in (
        "before the first training. [default: 10]",
        "pretrained on a CPU. [default: auto]",
        "not worse. [default: 0.01]",
        "[default: no limit]",
        "as a fraction of the patch. [default: as the preset] [above 0, at most 1]",
        r"name:^(P\d+)_ [default: each task is a group]",
    ):
        assert words in text
