"""The process that trains a fold, found by its command line, or by the log it writes."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from training.folds.spec import LOG, SPEC

FORK_SERVER = "training.processes.fork_server"


def fold_process(folder: Path, timeout_s: float = 20.0) -> psutil.Process:
    """Waits for the process, not its guard, that trains the fold of a folder."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if command[1:3] != ["-P", "-m"]:
                continue
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                # One that was forked has the command line of the process it was forked from.
                is_forked = FORK_SERVER in command and str(folder / LOG) in {
                    file.path for file in process.open_files()
                }
                if is_forked or command[-1] == str(folder / SPEC):
                    return process
        time.sleep(0.02)
    raise AssertionError(f"no process trains {folder}")
