"""What `nnloop doctor` tells people to do can be done: commands, options, settings, pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from typer.main import get_command

from backend.cli.main import app
from backend.doctor.check import State
from backend.doctor.checks import OF_INSTALLATION, OF_PROJECT
from backend.doctor.report import FINE, FORM, UNKNOWN, WRONG
from backend.doctor.visit import SETTINGS, WHICH
from backend.settings import Settings
from backend.settings.option import environment_of
from backend.stack.label_studio_server import LabelStudioServer
from tests.unit.backend.doctor.test_visit import MENDABLE
from tests.unit.packaging.paths import ROOT
from tests.unit.packaging.test_manual import anchors_of

PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
SOURCES = [*(ROOT / "backend" / "doctor").rglob("*.py"), ROOT / "backend/cli/commands/doctor.py"]

PROSE = {
    "anew", "as", "asks", "at", "could", "does", "draw", "has", "is", "noted", "on", "reads",
    "starts", "support", "works",
}  # fmt: skip
"""What stands after nnloop's name in a sentence about it."""

OTHERS = {
    "CUDA_VISIBLE_DEVICES", "PROJECT_UPDATED", "LOCK_EX", "LOCK_NB",
}  # fmt: skip
"""Names in capitals that are no settings of nnloop, Label Studio or docker-compose.yml."""


def _texts() -> Iterator[str]:
    """Every text of the doctor's that is no docstring; what is filled in is X."""
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                inner.add(id(node.value))  # a docstring
            if isinstance(node, ast.JoinedStr):
                inner.update(map(id, node.values))
                parts = (
                    str(part.value) if isinstance(part, ast.Constant) else "X"
                    for part in node.values
                )
                yield "".join(parts)
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and id(node) not in inner:
                yield str(node.value)  # type: ignore[attr-defined]


def _options() -> dict[str, set[str]]:
    """The options of each command; those of groups by their first word."""
    found: dict[str, set[str]] = {}
    group = get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {"": command}).values()
        found[name] = {flag for one in inner for param in one.params for flag in param.opts}
    return found


def test_every_command_that_is_told_exists_with_its_options() -> None:
    options, told = _options(), set()
    for text in _texts():
        for name, rest in re.findall(r"\bnnloop ([a-z]+)([^;:.,()]*)", text):
            assert name in options or name in PROSE, text
            if name in options:
                told.add(name)
                flags = re.findall(r"--[a-z][a-z-]*", rest)
                assert {*flags} <= options[name], text
    assert {"connect", "jobs", "models", "publish", "restore", "score", "up", "worker"} <= told


def test_every_setting_that_is_told_exists() -> None:
    known = {name for field in Settings.model_fields.values() for name in environment_of(field)}
    named = {name for text in _texts() for name in re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", text)}
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    server = LabelStudioServer.environment.__code__.co_consts
    of_label_studio = {
        name for part in server for name in (part if isinstance(part, tuple) else (part,))
    }
    for name in named - known - OTHERS:
        assert name in of_label_studio or re.search(rf"\b{name}\b", compose), name
    assert "shm_size: 2gb" in compose and "http://nnloop.internal:9090" in compose


def test_every_page_that_is_told_exists() -> None:
    for text in _texts():
        for page, anchor in re.findall(r"docs/([\w-]+\.md)(?:#([\w-]+))?", text):
            path = ROOT / "docs" / page
            assert path.is_file(), text
            assert not anchor or anchor in anchors_of(path), text


def test_the_page_lists_the_checks_and_what_they_ask() -> None:
    part = PAGE.partition("## Questions")[2].partition("## What `--fix`")[0]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*?) \|$", part)
    asked = [SETTINGS, *OF_INSTALLATION, WHICH, *OF_PROJECT]
    assert [name for name, _ in rows] == [check.id for check in asked]
    for (_, said), check in zip(rows, asked, strict=True):
        assert said.split()[:2] == check.question.split()[:2], (said, check.question)


def test_the_page_says_what_fix_does_and_the_codes() -> None:
    part = PAGE.partition("## What `--fix`")[2].partition("## JSON")[0]
    # Each of those is made ill and mended by a test.
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", part)) == {name for _, name, _, _ in MENDABLE}
    assert (FINE, WRONG, UNKNOWN, FORM) == (0, 1, 3, 1)
    assert "`form` is 1" in PAGE
    for state in State:
        assert f"`{state}`" in PAGE
