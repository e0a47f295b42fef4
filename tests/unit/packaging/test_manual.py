"""Every command, option, setting and link in the manual is one that there is."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.cli.main import app
from backend.settings import Settings
from backend.settings.option import environment_of
from tests.unit.packaging.paths import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = typer.main.get_command(app)

SETTINGS = {name for field in Settings.model_fields.values() for name in environment_of(field)}
READ_ELSEWHERE = {"NNLOOP_CONFIG", "NNLOOP_LABEL_STUDIO_BIN", "NNLOOP_CHROMIUM"}
"""Not settings of an installation: docs/settings.md says of each where it is read."""
OF_THE_BRIDGE = {"NNLOOP_URL", "NNLOOP_USER", "NNLOOP_PASSWORD"}
"""docs/label-studio-ml/model.py reads them."""
OF_NOTICES = {"NNLOOP_EVENT", "NNLOOP_SENTENCE", "NNLOOP_LINK", "NNLOOP_TITLE"}
"""What a command is given that is told how trainings end."""


CALL = re.compile(r"(?:^|[;&|]\s*|\w=\S*\s+|bin/|\bexec\s(?:web\s)?|\bthen\s)nnloop\s+([^;&|#`]+)")
"""``nnloop`` where a program's name stands, and what follows."""


def lines_of(page: Path) -> Iterator[str]:
    """What is meant to be typed: code in a line, and lines of code of their own."""
    for block in re.findall(r"```\w*\n(.*?)```", text := page.read_text(), flags=re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    text = re.sub(r"```\w*\n.*?```", "", text, flags=re.DOTALL)
    yield from (line.strip() for line in text.splitlines() if line.startswith("    "))
    yield from (one.replace("\n", " ") for one in re.findall(r"`([^`]+)`", text))


def calls_in(line: str) -> Iterator[list[str]]:
    """The words after ``nnloop`` of every call in a line of code."""
    line = re.sub(r"\s#\s.*|\s{3,}\S.*", "", line.strip())
    for found in re.finditer(CALL, line):
        with contextlib.suppress(ValueError):  # half a line of code
            yield shlex.split(found.group(1).replace("[", " ").replace("]", " "))


def command_of(words: list[str]) -> tuple[Any, list[str]] | None:
    """The command that is called, and the words after its name; None where none is called so."""
    command: Any = COMMANDS
    while hasattr(command, "commands") and words and re.fullmatch(r"[a-z-]+", words[0]):
        name, *words = words
        if name not in command.commands:
            return None
        command = command.commands[name]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_calls_are_of_commands_with_options_that_there_are(page: Path) -> None:
    for line in lines_of(page):
        for words in calls_in(line):
            found = command_of(words)
            assert found is not None, f"no such command: nnloop {' '.join(words)}"
            command, rest = found
            known = {
                option for one in command.params for option in [*one.opts, *one.secondary_opts]
            }
            asked = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert asked <= known | {"--help", "--version"}, f"nnloop {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_are_those_that_are_read(page: Path) -> None:
    named = set(re.findall(r"\bNNLOOP_[A-Z][A-Z_]*[A-Z]\b", page.read_text()))
    assert named <= SETTINGS | READ_ELSEWHERE | OF_THE_BRIDGE | OF_NOTICES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors_of(path), f"{target}: no such heading"


def anchors_of(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one).lower() for one in headings)
    return {re.sub(r"[^\w\- ]", "", one).strip().replace(" ", "-") for one in plain}
