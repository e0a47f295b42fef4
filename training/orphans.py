"""Fold processes whose parent died: found by their record, ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from converters.files import read_json
from training.folds import PROCESS

_CLOCK_S = 1.0
"""Two start times this close are the same process: a recycled pid started much later."""


def process_record(pid: int) -> dict[str, Any]:
    """What is written about a child: its pid and start time, and its parent's (this process)."""
    return {
        "pid": pid,
        "started": _started(pid),
        "parent": os.getpid(),
        "parent_started": _started(os.getpid()),
    }


def sweep_orphans(root: Path) -> tuple[int, ...]:
    """Ends the fold processes below a root folder whose parent is gone.

    A child normally ends with its parent; this catches what did not (a suspended machine, a
    system without parent-death signals). Processes started by others are never touched: pid and
    start time must both match the record.

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
        except (OSError, ValueError, KeyError, TypeError):
            # Being written or removed this moment by its owner, who is therefore alive.
            continue
        if _same(parent, parent_started):
            continue
        if _same(pid, started):
            try:
                process = psutil.Process(pid)
                process.kill()
                process.wait(5)
                ended.append(pid)
            except psutil.Error:
                pass
        path.unlink(missing_ok=True)
    return tuple(ended)


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
