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

from backend.stack.log_file import Rotation
from backend.stack.process import ManagedProcess, ProcessSpec
from domain.errors import StackError
from tests.unit.backend.stack.conftest import MakeSpec, eventually

SLEEP = "import time; time.sleep(60)"
# Forks a grandchild that leaves session and group, ignores SIGTERM and notes its id, then sleeps.
FAMILY = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open({path!r}, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)
{then}
"""


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "grandchild.pid"
    yield path
    if path.exists() and path.read_text() and psutil.pid_exists(int(path.read_text())):
        os.kill(int(path.read_text()), signal.SIGKILL)  # a failed test must not leave it


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def written(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


def test_starts_and_stops(python: MakeSpec) -> None:
    process = ManagedProcess(python(SLEEP))
    process.start()
    pid = process.pid
    assert pid is not None
    assert process.is_running
    assert process.exit_code is None
    began = time.monotonic()
    process.stop()
    assert time.monotonic() - began < 2  # on SIGTERM, not after the grace
    assert gone(pid)
    assert not process.is_running
    assert process.exit_code == 128 + signal.SIGTERM
    process.stop()


def test_an_early_end_shows_the_log_without_secrets(python: MakeSpec) -> None:
    code = "import os, sys; print('boom', os.environ['A_TOKEN']); sys.exit(3)"
    process = ManagedProcess(
        python(code, env={"A_TOKEN": "hunter22"}, is_ready=lambda: False, remedy="Do this.")
    )
    with pytest.raises(StackError, match=r"worker ended with status 3(.|\n)*boom \*\*\*") as caught:
        process.start()
    assert caught.value.remedy == "Do this."
    assert "hunter22" not in repr(process.spec)


def test_one_that_never_gets_ready_is_stopped(python: MakeSpec) -> None:
    process = ManagedProcess(python(SLEEP, is_ready=lambda: False, start_timeout_s=0.3))
    with pytest.raises(StackError, match=r"not ready after 0.3 s"):
        process.start()
    assert not process.is_running


def test_a_missing_command_is_an_error(tmp_path: Path) -> None:
    spec = ProcessSpec(
        "worker", (str(tmp_path / "no-such"),), tmp_path / "log", is_ready=lambda: False
    )
    with pytest.raises(StackError, match=r"status 127(.|\n)*no-such"):
        ManagedProcess(spec).start()


def test_waits_until_it_is_ready(python: MakeSpec, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    code = f"import time; time.sleep(0.3); open({str(flag)!r}, 'w'); time.sleep(60)"
    process = ManagedProcess(python(code, is_ready=flag.exists))
    process.start()
    assert flag.exists()
    process.stop()


@pytest.mark.slow
def test_one_that_ignores_sigterm_is_killed(python: MakeSpec, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(flag)!r}, 'w'); time.sleep(60)"
    )
    process = ManagedProcess(python(code, is_ready=flag.exists, stop_grace_s=0.3))
    process.start()
    process.stop()
    assert process.exit_code == 128 + signal.SIGKILL


@pytest.mark.slow
def test_stop_reaches_grandchildren_that_left_the_group(python: MakeSpec, pid_file: Path) -> None:
    code = FAMILY.format(path=str(pid_file), then="time.sleep(60)")
    process = ManagedProcess(python(code, is_ready=lambda: written(pid_file)))
    process.start()
    process.stop()
    assert gone(int(pid_file.read_text()))


@pytest.mark.slow
def test_grandchildren_do_not_outlive_its_own_end(python: MakeSpec, pid_file: Path) -> None:
    process = ManagedProcess(python(FAMILY.format(path=str(pid_file), then="time.sleep(0.5)")))
    process.start()
    assert eventually(lambda: written(pid_file))
    assert eventually(lambda: not process.is_running)
    assert process.exit_code == 0
    assert gone(int(pid_file.read_text()))


@pytest.mark.slow
def test_all_end_when_nnloop_is_killed(tmp_path: Path, pid_file: Path) -> None:
    family = FAMILY.format(path=str(pid_file), then="time.sleep(60)")
    parent = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from backend.stack.process import ManagedProcess, ProcessSpec
        ready = Path({str(pid_file)!r})
        spec = ProcessSpec("worker", (sys.executable, "-S", "-c", {family!r}),
                           Path({str(tmp_path / "log")!r}), is_ready=ready.exists, stop_grace_s=0.5)
        process = ManagedProcess(spec)
        process.start()
        print(process.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as nnloop:
        assert nnloop.stdout is not None
        child = int(nnloop.stdout.readline())
        assert eventually(lambda: written(pid_file))
        grandchild = int(pid_file.read_text())
        assert not gone(child)
        assert not gone(grandchild)
        nnloop.kill()
    assert eventually(lambda: gone(child) and gone(grandchild))


def test_the_command_dies_with_its_guard(python: MakeSpec) -> None:
    process = ManagedProcess(python(SLEEP))
    process.start()
    pid = process.pid
    assert pid is not None
    psutil.Process(pid).parent().kill()  # type: ignore[union-attr]
    assert eventually(lambda: gone(pid))
    process.stop()


def test_the_log_is_private_and_set_aside_when_large(python: MakeSpec) -> None:
    process = ManagedProcess(python("print('once')", rotation=Rotation(max_bytes=3)))
    log = process.spec.log_path
    assert log is not None
    for _ in range(2):
        process.launch()
        assert eventually(lambda: not process.is_running)
    process.stop()  # the last lines are there
    assert log.read_text() == "once\n"
    assert log.with_name("worker.log.1").read_text() == "once\n"
    assert log.stat().st_mode & 0o077 == 0
    process.stop()
