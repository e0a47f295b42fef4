"""`nnloop doctor` as people and programs call it, where nothing but a store is there."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from tests.fakes.app import FakeApp
from tests.unit.backend.cli.conftest import Terminal
from tests.unit.backend.cli.test_main import Call, call

__all__ = ["call"]

KEY = "0123456789abcdef0123456789abcdef01234567"


def _nowhere() -> None:
    """Addresses at which nobody answers."""
    os.environ.update(
        NNLOOP_PORT="1", LABEL_STUDIO_URL="http://127.0.0.1:1", LABEL_STUDIO_API_KEY=KEY
    )


def test_each_fault_is_a_line_with_its_fix_under_it(call: Call, terminal: Terminal) -> None:
    _nowhere()
    ended = call("doctor", "Carotid")
    assert ended.code == 1
    lines = ended.out.splitlines()
    wrong = [number for number, line in enumerate(lines) if line.startswith("WRONG")]
    assert len(wrong) >= 3
    assert all(lines[number + 1].strip().startswith("Fix: ") for number in wrong)
    assert any(line.startswith("Project 1 ") for line in lines)
    assert "ok    Is it connected? it is connected" in lines
    # What could not be looked at for one reason is one line.
    away = [line for line in lines if line.startswith("?") and "the project is not in" in line]
    assert len(away) == 1 and "Is there a webhook?" in away[0]
    assert lines[-1].endswith("could not be looked at.")
    assert KEY not in ended.out + ended.err
    terminal(80)
    assert max(map(len, call("doctor", "1").out.splitlines())) <= 80


def test_json_is_one_object_with_the_code_of_the_command(call: Call, app: FakeApp) -> None:
    _nowhere()
    before = sorted(path.name for path in app.context.settings.data_dir.iterdir())
    ended = call("doctor", "--json")
    value = json.loads(ended.out)
    assert (value["form"], value["exit_code"], ended.code) == (1, 1, 1)
    assert sum(value["counts"].values()) == len(value["checks"])
    assert {"id", "project", "question", "state", "answer", "fix"} <= value["checks"][0].keys()
    assert {check["project"] for check in value["checks"]} == {None, 1}
    assert sorted(path.name for path in app.context.settings.data_dir.iterdir()) == before


def test_settings_that_can_not_be_read_are_the_answer(call: Call) -> None:
    os.environ["NNLOOP_PORT"] = "many"
    ended = call("doctor")
    assert ended.code == 1
    assert "WRONG Can the settings be read? 1 setting can't be used" in ended.out
    assert json.loads(call("doctor", "--json").out)["checks"][0]["id"] == "settings"


def test_a_support_file_is_written_beside_what_is_said(call: Call, tmp_path: Path) -> None:
    _nowhere()
    target = tmp_path / "sub" / "support.zip"
    target.parent.mkdir()
    ended = call("doctor", "--support-file", str(target))
    assert ended.code == 1 and f"Wrote {target}" in ended.out
    with zipfile.ZipFile(target) as file:
        assert "doctor.json" in file.namelist()
        assert all(KEY not in file.read(name).decode() for name in file.namelist())
    ended = call("doctor", "--support-file", str(tmp_path))
    assert ended.code == 1 and "is a folder" in ended.err
