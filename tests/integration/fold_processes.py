"""The process that trains a fold, found by its command line."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from training.folds.spec import SPEC


def fold_process(folder: Path, timeout_s: float = 20.0) -> psutil.Process:
    """Waits for the process, not its guard, that trains the fold of a folder."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if command[1:3] == ["-P", "-m"] and command[-1] == str(folder / SPEC):
                with contextlib.suppress(psutil.Error):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        return process
        time.sleep(0.02)
    raise AssertionError(f"no process trains {folder}")
