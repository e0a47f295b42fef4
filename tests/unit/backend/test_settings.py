from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.settings import ProjectSettings, Settings
from domain.errors import SettingsError


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("NNLOOP_", "LABEL_STUDIO_", "BASIC_AUTH_")):
            monkeypatch.delenv(name)
    for name in ("MODEL_DIR", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("NNLOOP_DATA_DIR", "/srv/nnloop", "data_dir", Path("/srv/nnloop")),
        ("MODEL_DIR", "/srv/models", "data_dir", Path("/srv/models")),
        ("REDIS_URL", "redis://r/1", "redis_url", "redis://r/1"),
        ("LABEL_STUDIO_URL", "http://ls:8080/", "label_studio_url", "http://ls:8080"),
        ("LABEL_STUDIO_HOST", "http://ls:8080", "label_studio_url", "http://ls:8080"),
        ("BASIC_AUTH_USER", "ann", "basic_auth_user", "ann"),
        ("NNLOOP_BASIC_AUTH_USER", "ann", "basic_auth_user", "ann"),
        ("NNLOOP_PORT", "0", "port", 0),
        ("NNLOOP_DEBOUNCE_S", "0", "debounce_s", 0.0),
        ("NNLOOP_PORT", "", "port", 9090),  # empty is as good as unset
    ],
)
def test_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(Settings.load(), field) == expected


def test_the_documented_name_goes_before_its_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_DIR", "/a")
    monkeypatch.setenv("NNLOOP_DATA_DIR", "/b")
    assert Settings.load().data_dir == Path("/b")


def test_variables_of_other_programs_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "DEVICES", "DATABASE_URL", "LOG_LEVEL", "DATA_DIR"):
        monkeypatch.setenv(name, "8000")
    settings = Settings.load()
    assert (settings.host, settings.port, settings.devices) == ("127.0.0.1", 9090, "")
    assert settings.database_url == ""


def test_file_and_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nnloop.toml").write_text('port = 1111\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("NNLOOP_PORT", "2222")
    settings = Settings.load()
    assert (settings.port, settings.host) == (2222, "0.0.0.0")
    assert Settings.load(port=3333).port == 3333


@pytest.mark.parametrize("text", ["port = = 3", "\udcff"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "nnloop.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match=r"nnloop\.toml is no TOML file"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('devises = "cpu"\n', r"devises \(devices\?\)"),
        ("colour = 1\nport = 1\n", "no setting: colour\\."),
        ("[nnloop]\nport = 1\n", "no setting: nnloop"),  # a table: none of it would be read
    ],
)
def test_a_key_that_is_no_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "nnloop.toml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        Settings.load()


def test_keys_may_be_written_as_the_variables(tmp_path: Path) -> None:
    (tmp_path / "nnloop.toml").write_text("NNLOOP_PORT = 1111\n")
    assert Settings.load().port == 1111


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNLOOP_CONFIG", "/nowhere/nnloop.toml")
    with pytest.raises(SettingsError, match="/nowhere/nnloop"):
        Settings.load()


def test_every_fault_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNLOOP_PORT", "70000")
    monkeypatch.setenv("LABEL_STUDIO_URL", "ftp://user:pa55word@labels")
    monkeypatch.setenv("NNLOOP_LOG_LEVEL", "LOUD")
    monkeypatch.setenv("NNLOOP_WORKER_DEVICE", "tpu")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    message = str(caught.value)
    assert message.startswith("4 settings can")
    for name in ("NNLOOP_PORT", "LABEL_STUDIO_URL", "NNLOOP_LOG_LEVEL", "NNLOOP_WORKER_DEVICE"):
        assert name in message
    assert "pa55word" not in message
    assert caught.value.__cause__ is None  # pydantic's error repeats every input


def test_a_home_that_nobody_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNLOOP_DATA_DIR", "~no-such-user/data")
    with pytest.raises(SettingsError, match="NNLOOP_DATA_DIR: ~no-such-user/data"):
        Settings.load()


def test_a_repr_gives_nothing_away() -> None:
    settings = Settings.load(
        label_studio_api_key="key-secret",
        basic_auth_pass="pass-secret",
        database_url="postgresql://u:db-secret@h/n",
        redis_url="redis://:redis-secret@h/0",
    )
    assert "secret" not in repr(settings) + str(settings)


def test_a_command_without_a_word_is_none() -> None:
    with pytest.raises(SettingsError, match="notify_command: is no command"):
        Settings.load(notify_command="  ")
    assert not Settings.load(notify_command="").notify_command.get_secret_value()


def test_another_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(
        data_dir=Path("/srv/nnloop"),
        database_url="postgresql://u:p@h/n",
        redis_url="redis://:p@h/0",
        label_studio_url="http://ls:8080",
        label_studio_api_key="key",
        host="0.0.0.0",
        port=9191,
        public_url="http://nnloop:9191",
        basic_auth_user="ann",
        basic_auth_pass="word",
        predict_deadline_s=3.5,
        debounce_s=0.0,
        sync_interval_s=7.0,
        devices="cuda:0",
        worker_device="cuda:0",
        worker_threads=3,
        log_level="DEBUG",
        notify_command="tell",
        notify_url="http://nnloop.lab",
    )
    environment = settings.to_environment()
    # Every field is set above, so none can be missing here unnoticed.
    assert len(environment) == len(Settings.model_fields)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().port = 1  # type: ignore[misc]


def test_urls(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path, port=1234)
    assert settings.store_url == f"sqlite:///{tmp_path / 'nnloop.db'}"
    assert settings.service_url == "http://127.0.0.1:1234"
    assert Settings.load(public_url="https://x/nnloop/").service_url == "https://x/nnloop"


def test_label_studio_is_asked_for_with_both_names() -> None:
    with pytest.raises(SettingsError, match="LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY not set"):
        Settings.load().require_label_studio()
    with pytest.raises(SettingsError, match=r"^LABEL_STUDIO_API_KEY not set"):
        Settings.load(label_studio_url="http://x").require_label_studio()


def test_project_settings_ignore_what_a_newer_version_kept() -> None:
    kept = {**ProjectSettings().model_dump(mode="json"), "from_the_future": 1, "n_folds": 4}
    assert ProjectSettings.model_validate(kept).n_folds == 4
