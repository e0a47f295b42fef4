from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from converters.bookkeeping.files import write_json
from training.processes.orphans import process_record, sweep_orphans


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def _record(root: Path, **changes: object) -> Path:
    path = root / "projects" / "1" / "runs" / "1" / "fold_0" / "process.json"
    write_json(path, changes)
    return path


def test_a_child_of_a_living_parent_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    path = _record(tmp_path, **process_record(sleeper.pid))
    assert sweep_orphans(tmp_path) == ()
    assert sleeper.poll() is None
    assert path.exists()


def test_a_child_of_a_dead_parent_is_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    record = process_record(sleeper.pid)
    # The parent's pid was taken by a process that started later: the parent itself is gone.
    path = _record(tmp_path, **{**record, "parent_started": record["parent_started"] - 100})
    assert sweep_orphans(tmp_path) == (sleeper.pid,)
    assert not psutil.pid_exists(sleeper.pid)
    assert not path.exists()


def test_a_recycled_pid_is_never_killed(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record = process_record(sleeper.pid)
    changed = {"started": record["started"] - 100, "parent_started": 1.0}
    path = _record(tmp_path, **{**record, **changed})
    assert sweep_orphans(tmp_path) == ()
    assert sleeper.poll() is None
    assert not path.exists()


def test_the_processes_an_orphan_has_started_end_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time;"
        "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(helper.pid, flush=True); time.sleep(60)"
    )
    orphan = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert orphan.stdout is not None
    helper = psutil.Process(int(orphan.stdout.readline()))
    _record(tmp_path, **{**process_record(orphan.pid), "parent_started": 1.0})
    assert sweep_orphans(tmp_path) == (orphan.pid,)
    _, alive = psutil.wait_procs([helper], timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    orphan.wait()
    orphan.stdout.close()


def test_a_record_of_another_machine_is_left_to_it(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """Several machines share the folder; a pid says nothing about another's processes."""
    record = process_record(sleeper.pid)
    path = _record(tmp_path, **{**record, "host": "another", "parent_started": 1.0})
    assert sweep_orphans(tmp_path) == ()
    assert sleeper.poll() is None
    assert path.exists()


def test_a_half_written_record_is_skipped(tmp_path: Path) -> None:
    path = _record(tmp_path)
    path.write_text("{")
    assert sweep_orphans(tmp_path) == ()
    assert path.exists()
