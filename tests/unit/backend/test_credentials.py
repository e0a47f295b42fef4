from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.credentials import service_credentials
from backend.settings import Settings
from domain.errors import SettingsError

ROOT = Path(__file__).resolve().parents[3]


def settings(data_dir: Path, user: str = "", password: str = "") -> Settings:
    return Settings.load(data_dir=data_dir, basic_auth_user=user, basic_auth_pass=password)


def test_settings_come_first_and_write_nothing(tmp_path: Path) -> None:
    assert service_credentials(settings(tmp_path, "u", "p")) == ("u", "p")
    assert list(tmp_path.iterdir()) == []


def test_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    user, password = service_credentials(settings(folder))
    assert user == "nnloop"
    assert len(password) >= 32
    assert service_credentials(settings(folder, "other")) == ("other", password)
    assert (folder / "basic_auth").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in folder.iterdir() if p.suffix == ".tmp") == []
    assert service_credentials(settings(tmp_path / "another"))[1] != password


def test_empty_file_of_a_crash_is_filled(tmp_path: Path) -> None:
    (tmp_path / "basic_auth").touch()
    _, password = service_credentials(settings(tmp_path))
    assert len(password) >= 32
    assert service_credentials(settings(tmp_path))[1] == password


def test_processes_and_threads_that_start_together_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from backend.credentials import _kept_password;"
        "sys.stdin.read(1); print(_kept_password(Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "basic_auth")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    found = [process.communicate("x", timeout=60)[0].strip() for process in processes]
    with ThreadPoolExecutor(8) as pool:
        found += pool.map(lambda _: service_credentials(settings(tmp_path))[1], range(8))
    assert len(set(found)) == 1
    assert len(found[0]) >= 32


def test_threads_on_an_empty_folder_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: service_credentials(settings(tmp_path))[1], range(8)))
    assert len(found) == 1


def test_colon_in_the_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must not hold a colon, got 'a:b'"):
        service_credentials(settings(tmp_path, "a:b", "p"))


def test_unusable_file_is_said_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "basic_auth").mkdir()
    with pytest.raises(SettingsError, match="IsADirectoryError") as caught:
        service_credentials(settings(tmp_path))
    assert "BASIC_AUTH_PASS" in caught.value.remedy
