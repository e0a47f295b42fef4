"""Children forked from a warm process: alike to started ones, and gone when anything above them is.

The module they run (``forked_child``) can be any; the fold's own runs in
``tests/integration/training/test_forked_folds.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.unit.training.processes import forked_child
from training.processes.forked import Child, ForkServer

ROOT = Path(__file__).resolve().parents[4]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "COLOUR": "grey"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="folds are forked on Linux alone")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    with (tmp_path / "server.log").open("ab") as log:
        server = ForkServer(forked_child.__name__, env=ENV, log=log.fileno())
        yield server
        server.close()


@pytest.fixture
def start(server: ForkServer, tmp_path: Path) -> Callable[..., Child]:
    def start(*argv: str, grace_s: float = 5.0, **env: str) -> Child:
        return server.start(argv, env=env, log=tmp_path / "log", grace_s=grace_s)

    return start


def _pids(log: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().endswith("\n"):
            return [int(word) for word in log.read_text().split()]
        time.sleep(0.02)
    raise AssertionError("the child says nothing")


def _all_end(pids: list[int]) -> bool:
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        if not any(map(_runs, pids)):
            return True
        time.sleep(0.02)
    return False


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_child_gets_its_arguments_its_variables_and_its_log(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("before\n")
    first = start("tell", "0")
    assert first.wait() == 0
    second = start("tell", "7", COLOUR="blue")
    assert second.wait(60) == 7
    assert (first.exit_code, second.exit_code, second.stop()) == (0, 7, 7)
    told = ["before", "['tell', '0'] True grey", "['tell', '7'] True blue"]
    assert (tmp_path / "log").read_text().splitlines() == told


def test_children_run_side_by_side(start: Callable[..., Child], tmp_path: Path) -> None:
    long = start("stubborn", grace_s=0.1)
    _pids(tmp_path / "log")  # it has begun, and ends at no polite word any more
    assert start("tell", "3").wait(60) == 3
    assert long.exit_code is None
    assert long.stop() == 128 + signal.SIGKILL


def test_a_child_that_raises_ends_with_1_and_says_why(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    assert start("raise").wait(60) == 1
    assert "RuntimeError: as told" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_nothing_that_a_child_started_outlives_it(
    start: Callable[..., Child], tmp_path: Path, end: str
) -> None:
    child = start("helpers")
    pids = _pids(tmp_path / "log")
    if end == "killed":
        os.kill(pids[0], signal.SIGKILL)
    else:
        assert child.stop() == 128 + signal.SIGTERM
    assert child.wait(60) == 128 + (signal.SIGKILL if end == "killed" else signal.SIGTERM)
    assert _all_end(pids)


def test_a_server_that_was_killed_takes_its_children_along_and_is_started_anew(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    child = start("stubborn")
    (pid,) = _pids(tmp_path / "log")
    psutil.Process(pid).parent().kill()  # type: ignore[union-attr]
    assert child.wait(60) == 128 + signal.SIGKILL
    assert _all_end([pid])
    assert child.stop() == 128 + signal.SIGKILL
    assert start("tell", "4").wait(60) == 4


def test_a_module_that_cannot_be_loaded_fails_its_children(tmp_path: Path) -> None:
    with (tmp_path / "server.log").open("ab") as log:
        server = ForkServer("tests.nowhere", env=ENV, log=log.fileno())
        child = server.start([], env={}, log=tmp_path / "log", grace_s=1.0)
        assert child.wait(60) == 1
        server.close()
    assert "No module named 'tests.nowhere'" in (tmp_path / "server.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_the_process_that_asked_for_them(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = (
        "import os, pathlib, sys, time; from training.processes.forked import ForkServer\n"
        f"server = ForkServer({forked_child.__name__!r}, env=dict(os.environ), log=2)\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "server.start(['helpers'], env={}, log=log, grace_s=5.0)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], env=ENV)
    pids = _pids(tmp_path / "log")
    forked_from = psutil.Process(pids[0]).ppid()
    parent.send_signal(number)
    parent.wait()
    assert _all_end([*pids, forked_from])
