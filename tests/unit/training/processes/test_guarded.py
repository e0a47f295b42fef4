"""Guarded processes end with the one that started them, however that ends, and all of theirs too.

``tests/unit/backend/stack/test_process.py`` has more: a guard is the same for every process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from training.processes import guard
from training.processes.guarded import Guarded, ending_signal

ROOT = Path(__file__).resolve().parents[4]
SLEEP = "import time; time.sleep(60)"

FORKS = """
import multiprocessing, os, time

def work():
    # As a worker of nnU-Net's augmentation: nobody takes its results, and it waits for ever.
    print(os.getpid(), flush=True)
    time.sleep(60)

worker = multiprocessing.get_context("fork").Process(target=work, daemon=True)
worker.start()
worker.join()
"""


@pytest.fixture
def forking() -> Iterator[Guarded]:
    process = Guarded([sys.executable, "-c", FORKS], grace_s=1.0, stdout=subprocess.PIPE)
    yield process
    process.stop()


def test_forked_workers_end_with_a_killed_process(forking: Guarded) -> None:
    assert forking.stdout is not None
    worker = psutil.Process(int(forking.stdout.readline()))
    assert forking.pid is not None
    assert worker.ppid() == forking.pid
    os.kill(forking.pid, signal.SIGKILL)
    assert forking.wait(30) == 128 + signal.SIGKILL
    assert not worker.is_running()


@pytest.mark.slow
def test_a_killed_guard_takes_its_command_along() -> None:
    process = Guarded([sys.executable, "-c", SLEEP], grace_s=1.0, stdout=subprocess.DEVNULL)
    command = _command(process)
    guarding = command.parent()
    assert guarding is not None
    guarding.kill()
    assert process.wait(30) == 128 + signal.SIGKILL
    _, alive = psutil.wait_procs([command], timeout=5)
    assert not alive
    assert process.stop() == 128 + signal.SIGKILL


def test_ctrl_c_is_for_the_parent_alone() -> None:
    """The terminal sends it to the whole group: the parent decides what becomes of the rest."""
    process = Guarded([sys.executable, "-c", SLEEP], grace_s=1.0, stdout=subprocess.DEVNULL)
    try:
        command = _command(process)
        assert os.getsid(command.pid) != os.getsid(0)
    finally:
        assert process.stop() == 128 + signal.SIGTERM


@pytest.mark.slow
def test_a_parent_that_is_gone_is_noticed_although_its_pipe_is_open() -> None:
    """A process it forked may hold the pipe. Or it died while the guard was being started."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [sys.executable, "-P", guard.__file__, "1", str(gone.pid), "-", "--"]
    process = subprocess.Popen(
        [*command, sys.executable, "-c", SLEEP], stdin=subprocess.PIPE, start_new_session=True
    )
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert process.stdin is not None
    process.stdin.close()


@pytest.mark.slow
def test_without_a_subreaper_orphans_are_found_by_their_group(tmp_path: Path) -> None:
    """As on macOS. The orphan takes no notice of SIGTERM."""
    orphan = tmp_path / "orphan.pid"
    family = textwrap.dedent(f"""
        import os, signal, time
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with open({str(orphan)!r}, "w") as file:
                file.write(str(os.getpid()))
            time.sleep(60)
        while not os.path.exists({str(orphan)!r}) or not os.path.getsize({str(orphan)!r}):
            time.sleep(0.01)
    """)
    argv = ["guard", "1", str(os.getpid()), "-", "--", sys.executable, "-S", "-c", family]
    code = (
        "import sys; from training.processes import guard; guard._IS_SUBREAPER = False;"
        f"sys.exit(guard.main({argv!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE)
    assert process.wait(timeout=20) == 0
    assert process.stdin is not None
    process.stdin.close()
    pid = int(orphan.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_guard_loads_nothing_that_is_slow_to_load() -> None:
    code = (
        f"import runpy, sys; runpy.run_path({guard.__file__!r}, run_name='guard');"
        "sys.exit(' '.join({'numpy', 'torch', 'training', 'domain'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.parametrize(("code", "name"), [(137, "SIGKILL"), (143, "SIGTERM"), (1, ""), (0, "")])
def test_exit_codes_name_their_signal(code: int, name: str) -> None:
    assert ending_signal(code) == name


def _command(process: Guarded) -> psutil.Process:
    deadline = time.monotonic() + 10
    while process.pid is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.pid is not None
    return psutil.Process(process.pid)
