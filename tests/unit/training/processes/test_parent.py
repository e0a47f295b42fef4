"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from training.processes.parent import PARENT_GONE

ROOT = Path(__file__).resolve().parents[4]

FORKS = """
import multiprocessing, os, time
from training.processes.parent import end_forks_with_this

def work():
    # As a worker of nnU-Net's augmentation: nobody takes its results, and it waits for ever.
    print(os.getpid(), flush=True)
    time.sleep(60)

end_forks_with_this()
end_forks_with_this()
worker = multiprocessing.get_context("fork").Process(target=work, daemon=True)
worker.start()
worker.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned, not forked")
def test_forked_workers_end_with_a_killed_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    worker = psutil.Process(int(process.stdout.readline()))
    assert worker.ppid() == process.pid
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs([worker], timeout=5)
    assert not alive


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    """It died while the process was loading its libraries; whose child it is now is another."""
    code = (
        "import time; from training.processes.parent import end_with_parent as e;"
        "e({}); time.sleep(60)"
    )
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    process = subprocess.Popen([sys.executable, "-c", code.format(gone.pid)], cwd=ROOT)
    assert process.wait(timeout=20) == PARENT_GONE


def test_with_its_parent_alive_it_goes_on() -> None:
    code = (
        "import time; from training.processes.parent import end_with_parent as e;"
        "e({}); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code.format(os.getpid())], cwd=ROOT)
    time.sleep(1.5)
    try:
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
