from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from backend.cli.main import app as program
from backend.pipeline.sync.reading import sync_project
from domain.errors import SettingsError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon


@pytest.fixture
def renamed(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    """Three tasks whose lumen is called Lumen by now."""
    monkeypatch.setattr("backend.cli.shared.context", lambda _data_dir: app.context)
    for task_id in (1, 2, 3):
        app.label_studio.add_task(task_id)
        app.label_studio.label(task_id, polygon("lumen"), polygon("wall", at=65, size=20))
    sync_project(app.context, PROJECT)
    config = CONFIG.replace('"lumen"', '"Lumen"')
    app.label_studio.info = replace(app.label_studio.info, label_config=config)
    return app


def _labels(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["labels", "1", *arguments], env={"COLUMNS": "200"})


def test_it_shows_labels_their_use_and_what_to_answer(renamed: FakeApp) -> None:
    """Fresh from Label Studio: nobody has read the new interface yet."""
    answer = _labels()
    assert answer.exit_code == 0, answer.output
    rows = [re.split(r" {2,}", line) for line in answer.output.splitlines()]
    assert ["Lumen", "0", "0"] in rows
    assert ["lumen", "? the interface lacks it", "3", "3"] in rows
    assert 'The interface lacks the label "lumen", and nobody uses "Lumen": a rename?' in (
        answer.output
    )


def test_a_rename_is_mapped_shown_and_written(renamed: FakeApp) -> None:
    answer = _labels("--map", "lumen=Lumen", "--write", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["labels"] == [
        {"name": "Lumen", "annotations": 3, "tasks": 3},
        {"name": "wall", "annotations": 3, "tasks": 3},
    ]
    assert (found["missing"], found["questions"]) == ([], [])
    assert found["mapping"] == {"lumen": "Lumen"}
    assert found["said"] == [
        '"lumen" counts as "Lumen": 3 annotations use it.',
        '3 annotations of people in Label Studio were changed ("lumen" in 3; only the names of '
        "labels in them).",
    ]
    assert _labels("--unmap", "lumen").exit_code == 0


def test_while_label_studio_is_away_it_shows_what_was_read(renamed: FakeApp) -> None:
    renamed.label_studio.is_down = True
    answer = _labels()
    assert "These are the labels as they were read last." in answer.output
    assert isinstance(_labels("--write").exception, SettingsError)


@pytest.mark.parametrize(
    "arguments",
    [("--dry-run",), ("--map", "lumen"), ("--map", "=x"), ("--keep-apart", "a="), ("--map", "a=")],
)
def test_what_can_not_be_understood_is_refused(renamed: FakeApp, arguments: tuple[str]) -> None:
    assert isinstance(_labels(*arguments).exception, SettingsError)
