import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from backend.stack.process import ProcessSpec
from backend.stack.supervisor import StackEvent, Supervisor, leftover_processes
from domain.errors import StackError
from tests.unit.backend.stack.conftest import MakeSpec, eventually

SLEEP = "import time; time.sleep(60)"


def test_starts_in_order_and_stops_in_reverse(python: MakeSpec) -> None:
    events: list[StackEvent] = []
    stack = Supervisor([python(SLEEP, "a"), python(SLEEP, "b")], on_event=events.append)
    with stack:
        assert [(s.name, s.is_running) for s in stack.states()] == [("a", True), ("b", True)]
        assert len(stack.leftover_processes()) == 4  # each with its guard
    assert [(e.kind, e.name) for e in events] == [
        ("starting", "a"),
        ("ready", "a"),
        ("starting", "b"),
        ("ready", "b"),
        ("stopping", "b"),
        ("stopping", "a"),
    ]
    assert stack.leftover_processes() == []


def test_a_failed_start_stops_those_before(python: MakeSpec) -> None:
    bad = python("import sys; sys.exit(1)", "b", is_ready=lambda: False)
    stack = Supervisor([python(SLEEP, "a"), bad])
    with pytest.raises(StackError, match="b ended with status 1"):
        stack.start()
    assert stack.leftover_processes() == []


def test_a_crashed_process_comes_back(python: MakeSpec) -> None:
    events: list[StackEvent] = []
    with Supervisor([python(SLEEP)], on_event=events.append, first_backoff_s=0.05) as stack:
        first = stack.process("worker").pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: stack.process("worker").pid not in (first, None))
        (state,) = stack.states()
        assert state.is_running
        assert state.restarts == 1
    crashed = [e for e in events if e.kind == "crashed"]
    assert len(crashed) == 1
    assert "status 137" in crashed[0].message


@pytest.mark.slow
def test_the_backoff_doubles(python: MakeSpec) -> None:
    events: list[StackEvent] = []
    spec = python("import time; time.sleep(0.3)")
    with Supervisor([spec], on_event=events.append, first_backoff_s=0.05) as stack:
        assert eventually(lambda: stack.states()[0].restarts >= 3)
    waits = [e.message.split(" in ")[1] for e in events if e.kind == "crashed"]
    assert waits[:3] == ["0.05 s", "0.1 s", "0.2 s"]


def test_a_process_can_be_added_once(python: MakeSpec) -> None:
    with Supervisor() as stack:
        stack.add(python(SLEEP, "a"))
        with pytest.raises(StackError, match="'a'"):
            stack.add(python(SLEEP, "a"))
        assert [s.name for s in stack.states()] == ["a"]
    assert stack.leftover_processes() == []


def test_wait_ends_when_asked(python: MakeSpec) -> None:
    with Supervisor([python(SLEEP)]) as stack:
        assert not stack.wait(timeout_s=0.1)
        threading.Timer(0.1, stack.ask_to_stop).start()
        assert stack.wait(timeout_s=10)


@pytest.mark.parametrize("then", ["stack.wait()", "import time; time.sleep(60)"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(tmp_path: Path, number: int, then: str) -> None:
    log = str(tmp_path / "log")
    # A shell's background jobs ignore SIGINT, and so would the program of a test among them.
    program = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
from pathlib import Path
from backend.stack.process import ProcessSpec
from backend.stack.supervisor import Supervisor
spec = ProcessSpec("worker", (sys.executable, "-S", "-c", {SLEEP!r}), Path({log!r}))
try:
    with Supervisor([spec]) as stack:
        print(stack.stack_id, stack.process("worker").pid, flush=True)
        {then}
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as nnloop:
        assert nnloop.stdout is not None
        stack_id, pid = nnloop.stdout.readline().decode().split()
        before = leftover_processes(stack_id)
        nnloop.send_signal(number)
        assert nnloop.wait(60) == 0
    assert len(before) == 2  # the worker and its guard
    assert any(row.startswith(f"{pid} ") for row in before)
    assert leftover_processes(stack_id) == []


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(float(sys.argv[1])), exit(0)))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_ready", ["True", "False"], ids=["up", "starting"])
def test_a_second_ctrl_c_leaves_nothing_behind(tmp_path: Path, is_ready: str) -> None:
    program = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
from pathlib import Path
from backend.stack.process import ProcessSpec
from backend.stack.supervisor import Supervisor
def spec(name, seconds, is_ready):
    log = Path({str(tmp_path)!r}) / name
    argv = (sys.executable, "-S", "-c", {STUBBORN!r}, seconds)
    return ProcessSpec(name, argv, log, is_ready=lambda: "ready" in log.read_text() and is_ready)
stack = Supervisor([spec("first", "0", True), spec("second", "2", {is_ready})])
print(stack.stack_id, flush=True)
try:
    with stack:
        stack.wait()
        print(stack.stop_signal)
except KeyboardInterrupt:
    print("interrupted")
print(stack.leftover_processes())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as nnloop:
        assert nnloop.stdout is not None
        stack_id = nnloop.stdout.readline().decode().strip()
        log = tmp_path / "second"
        assert eventually(lambda: log.exists() and "ready" in log.read_text())
        time.sleep(0.3)  # until it waits, or still asks whether the second one is ready
        for _ in range(6):
            nnloop.send_signal(signal.SIGINT)
            time.sleep(0.2)
        said = nnloop.stdout.read().decode().split()
        assert nnloop.wait(60) == 0
    assert said == ["SIGINT" if is_ready == "True" else "interrupted", "[]"]
    assert leftover_processes(stack_id) == []


def test_leftovers_are_found_wherever_they_went(tmp_path: Path) -> None:
    spec = ProcessSpec("x", ("true",), tmp_path / "log")
    stack = Supervisor([spec])
    env = {**os.environ, "NNLOOP_STACK": stack.stack_id}
    with subprocess.Popen(["sleep", "30"], env=env, start_new_session=True) as stray:
        # right after the fork the child still shows this process's environment
        assert eventually(lambda: stack.leftover_processes() == [f"{stray.pid} sleep"])
        stray.kill()
