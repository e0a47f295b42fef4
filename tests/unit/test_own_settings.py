"""Tests work on nothing of the installation whose user runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.settings import Settings
from tests.own_settings import leave_out_settings


def test_environment_and_files_of_the_user_are_no_settings_of_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nnloop.toml").write_text("port = 1234\n", encoding="utf-8")
    named = tmp_path / "theirs.toml"
    named.write_text('label_studio_url = "http://theirs.lab"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNLOOP_DATABASE_URL", "postgresql://theirs/nnloop")
    monkeypatch.setenv("REDIS_URL", "redis://theirs/0")
    monkeypatch.setenv("NNLOOP_CONFIG", str(named))
    assert "theirs" in Settings.load().database_url
    environment = dict(os.environ)
    leave_out_settings(environment)
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.port == 9090
    assert (settings.database_url, settings.redis_url, settings.label_studio_url) == ("", "", "")
