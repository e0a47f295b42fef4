"""Fold processes whose parent died: found by their record, ended."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from converters.bookkeeping.files import read_json

PROCESS = "process.json"
"""File beside what a child works on: which process it is."""

_CLOCK_S = 1.0
"""Two start times this close are the same process: a recycled pid started much later."""


def process_record(pid: int) -> dict[str, Any]:
    """What is written about a child: machine, pid, start time, and its parent's (this process)."""
    return {
        "host": platform.node(),
        "pid": pid,
        "started": _started(pid),
        "parent": os.getpid(),
        "parent_started": _started(os.getpid()),
    }


def sweep_orphans(root: Path) -> tuple[int, ...]:
    """Ends the fold processes below a root folder whose parent is gone.

    A child normally ends with its parent; this catches what did not (a suspended machine, a
    system without parent-death signals). Processes started by others are never touched: machine,
    pid and start time must all match the record. Records of other machines, which may share the
    folder, are left to them.

    Args:
        root: ``Workspace.root``, all projects; or one project's folder.

    Returns:
        The pids that were ended.
    """
    ended = []
    for path in sorted(root.rglob(f"fold_*/{PROCESS}")):
        try:
            record = read_json(path)
            pid, started = int(record["pid"]), float(record["started"] or 0)
            parent, parent_started = int(record["parent"]), float(record["parent_started"] or 0)
            host = str(record["host"])
        except (OSError, ValueError, KeyError, TypeError):
            # Being written or removed this moment by its owner, who is therefore alive.
            continue
        if host != platform.node() or _same(parent, parent_started):
            continue
        if _same(pid, started):
            try:
                process = psutil.Process(pid)
                helpers = descendants(pid)
                process.kill()
                process.wait(5)
                ended.append(pid)
                kill_all(helpers)
            except psutil.Error:
                pass
        path.unlink(missing_ok=True)
    return tuple(ended)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes a process has started, and those these have; none when it is gone."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def kill_all(processes: list[psutil.Process]) -> None:
    """Kills those still alive; psutil makes sure that no pid was recycled."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _started(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _same(pid: int, started: float) -> bool:
    now = _started(pid)
    if now is None or abs(now - started) > _CLOCK_S:
        return False
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
