import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.stack import install
from backend.stack.install import CONSTRAINTS, LABEL_STUDIO_VERSION, ensure_label_studio
from domain.errors import StackError


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    path = tmp_path / "constraints.txt"
    path.write_text(f"label-studio=={LABEL_STUDIO_VERSION}\n")
    return path


def test_the_lock_holds_the_version() -> None:
    assert f"label-studio=={LABEL_STUDIO_VERSION}" in CONSTRAINTS.read_text().splitlines()


def test_a_complete_environment_is_left_alone(tmp_path: Path, constraints: Path) -> None:
    env = tmp_path / "env"
    (env / "bin").mkdir(parents=True)
    (env / "bin" / "label-studio").touch()
    stamp = env / "nnloop-installed"
    stamp.write_text(install._stamp_of(constraints))
    assert ensure_label_studio(env, constraints=constraints) == env / "bin" / "label-studio"
    constraints.write_text("label-studio==1.23.3\n")
    assert not install.is_installed(env, constraints)  # another lock, another environment


def test_too_little_space_is_said_before_anything_is_made(
    tmp_path: Path, constraints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=300_000_000))
    with pytest.raises(StackError, match=r"0\.30 GB free"):
        ensure_label_studio(tmp_path / "deep" / "env", constraints=constraints)
    assert not (tmp_path / "deep").exists()


@pytest.mark.slow
def test_no_network_is_said(
    tmp_path: Path, constraints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    env = tmp_path / "env"
    seen: list[str] = []
    with pytest.raises(StackError, match="can't be reached") as caught:
        ensure_label_studio(
            env, lambda share, message: seen.append(message), constraints=constraints
        )
    assert "network" in caught.value.remedy
    assert seen[0] == "making an environment"
    assert not install.is_installed(env, constraints)


def test_a_full_disk_while_pip_runs_is_said() -> None:
    command = ["sh", "-c", "echo 'OSError: [Errno 28] No space left on device'; exit 1"]
    with pytest.raises(StackError, match="disk is full"):
        install._run(command, "installing")
