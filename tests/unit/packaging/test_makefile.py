from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.packaging.paths import ROOT

TARGETS = ("setup", "demo", "test", "test-fast", "check", "bench", "lock", "clean")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(
    *arguments: str, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    inherited.pop("LABEL_STUDIO_URL", None)
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean checkout as far as make looks at it: no environment yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    return tmp_path


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_expands_and_is_listed(target: str, checkout: Path) -> None:
    done = make("-n", target, folder=checkout)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^  make {target}\s+\S", make(folder=checkout).stdout, re.MULTILINE)


def test_an_old_python_is_refused_with_a_remedy(checkout: Path) -> None:
    old = checkout / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what the version check gives on Python 3.10
    old.chmod(0o755)
    done = make("environment", f"PYTHON={old}", folder=checkout)
    assert done.returncode != 0
    assert f"PYTHON={old} is not one" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_python_is_the_first_that_runs(checkout: Path) -> None:
    """A launcher that is on the path but has no such version behind it is passed over."""
    tools = checkout / "tools"
    tools.mkdir()
    for name, status in (("python3.12", 127), ("python3.11", 0), ("python3.13", 0)):
        (tools / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tools / name).chmod(0o755)
    done = make("-n", "environment", folder=checkout, PATH=f"{tools}:{os.environ['PATH']}")
    assert '"python3.11" -m venv' in done.stdout


def test_label_studio_is_not_installed_when_one_is_given(checkout: Path) -> None:
    command = "-m backend.stack.install"
    assert command in make("-n", "setup", folder=checkout).stdout
    given = make("-n", "setup", folder=checkout, LABEL_STUDIO_URL="http://127.0.0.1:8080")
    assert command not in given.stdout


def test_setup_says_what_comes_next(checkout: Path) -> None:
    ended = make("-n", "setup", folder=checkout).stdout.splitlines()
    said = "\n".join(line for line in ended if line.startswith("echo"))
    assert "make demo" in said and ".venv/bin/nnloop up" in said
    readme = (ROOT / "README.md").read_text()
    start = ".venv-label-studio/bin/label-studio start"
    assert start in said and start in readme
    # Where one is given none was installed.
    given = make("-n", "setup", folder=checkout, LABEL_STUDIO_URL="http://127.0.0.1:8080").stdout
    assert start not in given and ".venv/bin/nnloop up" in given
    assert "Ready" not in make("-n", "demo", folder=checkout).stdout


def test_a_finished_setup_installs_nothing_again(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".installed").touch()
    assert "pip install" not in make("-n", "environment", folder=checkout).stdout
    later = (checkout / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout / "constraints.txt", (later, later))
    assert "pip install" in make("-n", "environment", folder=checkout).stdout


def test_check_runs_all_four_tools() -> None:
    commands = make("-n", "check").stdout
    for tool in ("ruff check", "ruff format --check", "bin/mypy", "lint-imports"):
        assert tool in commands


def test_a_commit_is_checked_as_make_checks() -> None:
    made = re.findall(
        r"^bash \.ci/step '?([\w -]+?)'? (\.venv/.*)$",
        make("-n", "-o", ".venv/.installed", "check").stdout,
        re.M,
    )
    [repo] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [(hook["name"], hook["entry"]) for hook in repo["hooks"]]
    assert len(hooks) == 4
    assert made == hooks
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == (
            "system",
            False,
            True,
        )


def test_every_test_file_runs_once() -> None:
    runs: dict[Path, int] = dict.fromkeys((ROOT / "tests").rglob("test_*.py"), 0)
    commands = make("-n", "test-with-loop").stdout + make("-n", "test-without-loop").stdout
    # Some run once more, on PostgreSQL.
    commands = "\n".join(c for c in commands.splitlines() if "NNLOOP_TEST_STORE=" not in c)
    for arguments in re.findall(r"-m pytest (.*)", commands):
        ignored = [ROOT / path for path in re.findall(r"--ignore=(\S+)", arguments)]
        given = [ROOT / word for word in arguments.split() if word.startswith("tests")]
        for path in runs:
            is_given = any(path.is_relative_to(folder) for folder in given)
            runs[path] += is_given and not any(path.is_relative_to(f) for f in ignored)
    assert set(runs.values()) == {1}


def step(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / ".ci" / "step"), "Working", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_step_is_quiet_when_it_succeeds() -> None:
    done = step("bash", "-c", "echo chatter; echo more >&2")
    assert done.returncode == 0
    assert re.fullmatch(r"Working \.\.\.\nWorking: done in \d+ s\n", done.stdout)
    assert done.stderr == ""


def test_a_step_that_fails_shows_why_and_passes_the_status_on() -> None:
    done = step("bash", "-c", "echo the reason >&2; exit 7")
    assert done.returncode == 7
    assert "the reason" in done.stderr
    assert "exit status 7" in done.stderr


@pytest.mark.parametrize("name", ["run", "step"])
def test_scripts_are_strict_and_name_no_folder_of_a_machine(name: str) -> None:
    text = (ROOT / ".ci" / name).read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert not re.search(r"(?<![\w.}])/(work|root|home|opt)\b", text)
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / name)], check=False).returncode == 0
