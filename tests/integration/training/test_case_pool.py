"""The processes of a pool: several seconds to start, and none may stay behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from training.nnunet.data import case_pool
from training.nnunet.data.case_pool import CasePool


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def die_once(number: int, marker: Path) -> int:
    """Is killed the first time it meets a 3, as a machine without memory would."""
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(number: int) -> int:
    if number == 2:
        raise ValueError("no case like the others")
    return number


@pytest.fixture
def pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes after the first timed case, on any machine."""
    monkeypatch.setattr(case_pool, "START_S", 0.0)
    monkeypatch.setattr(case_pool, "usable_cores", lambda: 2)


@pytest.mark.usefixtures("pays")
def test_many_cases_are_shared_out_and_nothing_stays(tmp_path: Path) -> None:
    with CasePool() as pool:
        found = dict(pool.map(square, range(12), 0))
        assert {i: value for i, (value, _) in found.items()} == {i: i * i for i in range(12)}
        assert pool.n_workers == 2
        workers = {pid for _, pid in found.values()} - {os.getpid()}
        assert workers
        # The pool serves again, from the first case on.
        assert set(dict(pool.map(fail, range(2), 0))) == {0, 1}
        with pytest.raises(ValueError, match="like the others"):
            list(pool.map(fail, range(4), 0))
        # Stopped between cases.
        with pytest.raises(InterruptedError):
            pool._beat = _interrupt
            list(pool.map(square, range(8), 0))
    assert not any(psutil.pid_exists(pid) for pid in workers)


@pytest.mark.usefixtures("pays")
def test_a_killed_process_costs_nothing_but_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with CasePool() as pool:
        found = dict(pool.map(partial(die_once, marker=tmp_path / "died"), range(6), 0))
    assert found == {i: i for i in range(6)}
    assert "was killed" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc and kills outright")
def test_processes_die_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import time
            from training.nnunet.data import case_pool

            def main():
                case_pool.START_S, case_pool.usable_cores = 0.0, lambda: 2
                with case_pool.CasePool() as pool:
                    for position, _ in pool.map(time.sleep, [0.01, 0.01] + [600.0] * 4, 0):
                        print(position, flush=True)

            if __name__ == "__main__":
                main()
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])}
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert parent.stdout is not None
    try:
        assert [parent.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        children = _wait_for_children(parent.pid, 2)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def _wait_for_children(pid: int, n: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [
            child
            for child in psutil.Process(pid).children()
            if "spawn_main" in " ".join(child.cmdline()) and child.num_threads() > 1
        ]
        if len(found) == n:
            return found
        time.sleep(0.1)
    raise AssertionError("the pool did not start")


def _interrupt() -> None:
    raise InterruptedError
