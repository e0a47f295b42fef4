from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from backend.cli.main import app as program
from backend.pipeline.basis.context import AppContext
from backend.store import projects
from tests.fakes.app import PROJECT, FakeApp


@pytest.fixture(autouse=True)
def _context(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppContext, "open", lambda _settings: app.context)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(app.context.settings.data_dir))


def _print(*arguments: str) -> str:
    ended = CliRunner().invoke(program, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_hints_and_what_came_of_them(app: FakeApp) -> None:
    assert "No webhook has come" in _print("hints")
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, "[red]A", range(1, 9), decision="[b]counted[/b]")
        projects.add_hint(session, 9, "B", [], decision="project 9 is not connected")
    said = _print("hints")
    assert "[red]A" in said and "1, 2, 3, 4, 5 (+3)" in said and "[b]counted[/b]" in said
    assert "Connect it: nnloop connect 9" in " ".join(said.split())
    of_one = _print("hints", str(PROJECT))
    assert "[red]A" in of_one and "not connected" not in of_one
    (hint,) = json.loads(_print("hints", "9", "--json"))
    assert (hint["project"], hint["tasks"]) == (9, [])
    assert hint["decision"] == "project 9 is not connected"
    # Who forgot `connect` looks at the status first.
    assert "Connect it: nnloop connect 9" in " ".join(_print("status").split())
    assert json.loads(_print("status", "--json"))["unconnected"][0]["project"] == 9
