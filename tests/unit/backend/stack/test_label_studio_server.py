import stat
from pathlib import Path

import pytest

from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.own_account import ensure_credentials
from domain.errors import StackError


def test_the_login_is_kept_private_and_never_shown(tmp_path: Path) -> None:
    made = ensure_credentials(tmp_path / "data")
    assert ensure_credentials(tmp_path / "data") == made
    assert ensure_credentials(tmp_path / "other").token != made.token
    assert len(bytes.fromhex(made.token)) == 20
    assert stat.S_IMODE((tmp_path / "data" / "login.json").stat().st_mode) == 0o600
    assert made.token not in repr(made)
    assert made.password not in repr(made)


def test_a_damaged_login_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "login.json").write_text("{")
    with pytest.raises(StackError, match="damaged"):
        ensure_credentials(tmp_path)


def test_its_environment_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "not for it")
    monkeypatch.setenv("PASSWORD", "not for it")
    executable = tmp_path / "label-studio"
    executable.touch()
    server = LabelStudioServer.open(executable, tmp_path / "data")
    environment = server.environment()
    assert "not for it" not in environment.values()
    assert environment["LABEL_STUDIO_USER_TOKEN"] == server.credentials.token
    assert environment["LABEL_STUDIO_HOST"] == server.url
    assert server.credentials.token not in " ".join(server.spec().argv)
    assert server.credentials.token not in repr(server) + repr(server.spec())
    assert not server.is_ready()


def test_a_missing_command_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(StackError) as caught:
        LabelStudioServer.open(tmp_path / "no", tmp_path / "data")
    assert "backend.stack.install" in caught.value.remedy
