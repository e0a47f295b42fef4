"""Commands that `make test` runs at the same time: their output, their failures, their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.packaging.paths import ROOT

SCRIPT = [sys.executable, str(ROOT / ".ci" / "side_by_side.py")]

# Meets the other one, so neither can end before both have begun.
MEET = "touch {0}; until [ -e {1} ]; do sleep .05; done; echo {0} one; sleep .1; echo {0} two"

# Has a child, says that it is there, and takes a moment to tidy up.
TIDY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen(["sleep", "300"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
try:
    time.sleep(300)
except KeyboardInterrupt:
    time.sleep(0.3)
    print("tidied up")
"""

# Hears no interrupt, nor does its child.
DEAF = "trap '' INT; sleep 300 & echo $! > {0}; wait"


def run(*commands: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _argv(*commands), cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def _argv(*commands: list[str]) -> list[str]:
    argv = list(SCRIPT)
    for i, command in enumerate(commands):
        argv += [*(["--"] if i else []), *command]
    return argv


def bash(title: str, script: str) -> list[str]:
    return [title, "bash", "-c", script]


def test_both_run_at_once_and_each_is_shown_whole(tmp_path: Path) -> None:
    done = run(bash("A", MEET.format("a", "b")), bash("B", MEET.format("b", "a")), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Side by side: A; B." in done.stdout
    for title, name in (("A", "a"), ("B", "b")):
        block = f"======== {title}\n{name} one\n{name} two\n======== {title}: done after"
        assert block in done.stdout


@pytest.mark.parametrize("failing", [0, 1])
def test_the_failure_of_either_fails_the_whole_and_the_other_goes_on(
    failing: int, tmp_path: Path
) -> None:
    commands = [bash("A", "sleep .5; echo a whole"), bash("B", "sleep .5; echo b whole")]
    commands[failing] = bash("C", "echo the reason >&2; exit 7")
    done = run(*commands, cwd=tmp_path)
    assert done.returncode == 7
    assert "the reason\n======== C: FAILED with exit status 7" in done.stdout
    assert f"{'ba'[failing]} whole\n======== {'BA'[failing]}: done" in done.stdout


def test_a_killed_command_fails_the_whole(tmp_path: Path) -> None:
    done = run(bash("A", "kill -9 $$"), bash("B", "true"), cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGKILL
    assert "A: FAILED with exit status 137" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_and_waits_until_they_are_tidy(
    number: signal.Signals, tmp_path: Path
) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    done, pids = _interrupted(
        number, files, *([f.name, sys.executable, "-c", TIDY, str(f)] for f in files)
    )
    assert done.count("tidied up") == done.count(": interrupted after") == 2
    assert not any(map(psutil.pid_exists, pids))


@pytest.mark.slow
def test_a_second_interrupt_kills_what_does_not_listen(tmp_path: Path) -> None:
    file = tmp_path / "a"
    done, pids = _interrupted(signal.SIGINT, [file], bash("Deaf", DEAF.format(file)), again=True)
    assert "Deaf: killed after" in done
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5)
    assert not any(map(psutil.pid_exists, pids))


def _interrupted(
    number: signal.Signals, files: list[Path], *commands: list[str], again: bool = False
) -> tuple[str, list[int]]:
    """What was printed, and the processes that the commands had started and written down."""
    script = subprocess.Popen(_argv(*commands), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not all(f.exists() and f.read_text().strip() for f in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(script.pid, number)
    # On a busy machine two signals a second apart may arrive as one.
    while again and script.poll() is None and time.monotonic() < deadline:
        time.sleep(1.0)
        script.send_signal(number)
    printed, _ = script.communicate(timeout=30)
    assert script.returncode == 128 + number
    return printed, [int(f.read_text()) for f in files]


def test_without_commands_it_says_how_it_is_called(tmp_path: Path) -> None:
    done = run(["A"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "TITLE COMMAND" in done.stderr
