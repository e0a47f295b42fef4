"""The processes that train folds, found by their command lines, or by the logs they write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from training.folds.spec import LOG, SPEC

FORK_SERVER = "training.processes.fork_server"


def fold_process(folder: Path, timeout_s: float = 20.0) -> psutil.Process:
    """Waits for the process, not its guard, that trains the fold of a folder."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for process, spec in fold_processes():
            if spec == folder / SPEC:
                return process
        time.sleep(0.02)
    raise AssertionError(f"no process trains {folder}")


def fold_processes() -> Iterator[tuple[psutil.Process, Path]]:
    """The processes that train folds now, each with its fold's spec."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[1:3] != ["-P", "-m"]:
            continue
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if command[-1].endswith(f"/{SPEC}"):
                yield process, Path(command[-1])
            elif FORK_SERVER in command:
                # One that was forked has the command line of the process it was forked from.
                logs = {file.path for file in process.open_files() if file.path.endswith(LOG)}
                for path in logs:
                    yield process, Path(path).with_name(SPEC)
