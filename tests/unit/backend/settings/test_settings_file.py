"""Settings that lie where this user may not read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.settings import Settings
from domain.errors import SettingsError

NOBODY = 65534


@contextmanager
def _without_rights() -> Iterator[None]:
    """As a user who owns nothing here: root may read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("is_folder_closed", [False, True])
def test_a_file_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder_closed: bool
) -> None:
    folder = tmp_path / "srv"
    folder.mkdir()
    file = folder / "nnloop.toml"
    file.write_text("port = 1234\n", encoding="utf-8")
    file.chmod(0)
    folder.chmod(0 if is_folder_closed else 0o755)
    monkeypatch.setenv("NNLOOP_CONFIG", str(file))
    with _without_rights(), pytest.raises(SettingsError) as caught:
        Settings.load()
    folder.chmod(0o700)
    assert "may not be read by this user" in str(caught.value)
    assert f"NNLOOP_CONFIG={file}" in caught.value.remedy


def test_a_working_folder_that_may_not_be_entered_has_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after ``sudo -u nnloop nnloop status`` in a home folder."""
    monkeypatch.delenv("NNLOOP_CONFIG", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    (home / "nnloop.toml").write_text("port = 1234\n", encoding="utf-8")
    monkeypatch.chdir(home)
    home.chmod(0)
    with _without_rights():
        port = Settings.load(data_dir="/tmp").port
    home.chmod(0o700)
    assert port == 9090
