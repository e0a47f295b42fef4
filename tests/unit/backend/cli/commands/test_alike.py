from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from backend.cli.main import app as program
from backend.store.models import CaseRow
from backend.store.training.cases import save_case
from domain.errors import NotConnectedError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import manifest_of

MANIFEST = manifest_of((1, "a", "p"), (2, "b", "q"), (3, "c", "p"), (4, "d", "s"))


@pytest.fixture(autouse=True)
def _here(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.shared.context", lambda _data_dir: app.context)


def _alike(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["alike", *arguments], env={"COLUMNS": "200"})


def _sets(app: FakeApp, *names: str) -> None:
    with app.store.begin() as session:
        for entry, name in zip(MANIFEST.entries, names, strict=True):
            save_case(
                session,
                CaseRow(
                    project_id=PROJECT,
                    case_id=entry.case_id,
                    task_id=entry.task_id,
                    source_hash="",
                    files_hash="",
                    alike=name,
                ),
            )


def test_sets_that_folds_part_come_first(app: FakeApp) -> None:
    app.add_run(RunStatus.DONE, 1, manifest=MANIFEST)
    app.add_run(RunStatus.FAILED, 2)
    _sets(app, "x", "y", "x", "y")
    assert _alike("1").output.splitlines() == [
        "Tasks 1, 3: in one fold.",
        "Tasks 2, 4: in one fold.",
    ]
    _sets(app, "x", "y", "y", "z")
    assert _alike("1").output.splitlines() == ["Tasks 2, 3: in 2 folds."]
    [[first, second]] = json.loads(_alike("1", "--json").output)
    assert first == {"task": 2, "fold": 0, "group": "q"}
    assert second == {"task": 3, "fold": 1, "group": "p"}


def test_nothing_alike_is_said(app: FakeApp) -> None:
    assert "No two labelled images of the last training look alike." in _alike("1").output
    assert isinstance(_alike("9").exception, NotConnectedError)
