from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.packaging.paths import PACKAGES, ROOT
from tests.unit.packaging.settings_doc import PAGE, installation_table, project_table, tables_in

# Set by `nnloop up` on the processes it starts, to find them again; not for people.
INTERNAL = {"NNLOOP_STACK"}
HOW = "bring it up to date: python -m tests.unit.packaging.settings_doc"


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert tables_in() == [installation_table(), project_table()], HOW


def test_every_variable_named_in_the_code_is_documented() -> None:
    named = {
        name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"\bNNLOOP_[A-Z_]+\b", path.read_text(encoding="utf-8"))
    }
    documented = set(re.findall(r"\bNNLOOP_[A-Z_]+\b", PAGE.read_text(encoding="utf-8")))
    assert named - documented - INTERNAL == set()


def test_the_example_file_is_read_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "nnloop.toml"
    file.write_text(example, encoding="utf-8")
    from backend.settings import Settings

    for table in installation_table():
        for name in re.findall(r"`([A-Z_]+)`", table):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NNLOOP_CONFIG", str(file))
    settings = Settings.load()
    for line in example.splitlines():
        key, _, value = line.partition(" = ")
        assert str(getattr(settings, key)) == value.strip('"')
