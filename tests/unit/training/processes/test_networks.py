from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from domain.errors import PredictionError
from tests.unit.training.processes import answering_child
from training.processes.networks import run_child

MODULE = answering_child.__name__


def test_lines_come_without_what_libraries_print() -> None:
    lines: list[str] = []
    run_child(MODULE, {"lines": ["a", "b"]}, lines.append, work="answered")
    assert lines == ["a", "b"]


def test_its_error_is_told_in_its_own_words() -> None:
    with pytest.raises(PredictionError, match="no such thing") as caught:
        run_child(MODULE, {"lines": [], "error": "no such thing"}, work="answered")
    assert caught.value.remedy == "Mend it."


def test_a_killed_child_is_an_error_with_the_end_of_its_log() -> None:
    with pytest.raises(PredictionError, match=r"that answered ended with code 137: .*talks"):
        run_child(MODULE, {"lines": [], "signal": 9}, work="answered")


def test_it_is_ended_when_its_lines_are_not_wanted_any_more() -> None:
    seen: list[int] = []

    def stop(line: str) -> None:
        seen.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(MODULE, {"lines": [], "sleep": 60}, stop, work="answered")
    assert not psutil.pid_exists(seen[0])


@pytest.mark.slow
def test_at_its_limit_it_is_stopped_and_what_it_said_before_is_kept() -> None:
    seen: list[str] = []
    with pytest.raises(PredictionError, match=r"that answered took longer than 3 s") as caught:
        run_child(MODULE, {"lines": ["a"], "sleep": 60}, seen.append, work="answered", limit_s=3)
    assert "Try again" in caught.value.remedy
    first, pid = seen
    assert first == "a"
    assert not psutil.pid_exists(int(pid))


def test_below_its_limit_it_takes_its_time() -> None:
    lines: list[str] = []
    run_child(MODULE, {"lines": ["a"]}, lines.append, work="answered", limit_s=60)
    assert lines == ["a"]
    with pytest.raises(PredictionError, match="no such thing"):  # its own error, not the limit's
        run_child(MODULE, {"lines": [], "error": "no such thing"}, work="answered", limit_s=60)


def test_it_ends_with_a_killed_parent() -> None:
    code = (
        "from training.processes.networks import run_child;"
        f"run_child({MODULE!r}, {{'lines': [], 'sleep': 60}}, lambda x: print(x, flush=True),"
        " work='answered')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while child.is_running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.is_running()
