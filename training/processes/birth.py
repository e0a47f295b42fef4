"""When processes began, told without the wall's clock, which may be set while they run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

_STARTED = 19
"""Field of /proc/PID/stat, counted behind the name: clock ticks since the machine was started."""


def birth_mark(pid: int) -> str:
    """Says which process has an id: another text for each one that ever had it.

    Raises:
        psutil.NoSuchProcess: There is none.
    """
    if sys.platform != "linux":
        return f"{psutil.Process(pid).create_time():.2f}"
    return str(_ticks(pid))


def seconds_alive() -> float:
    """Seconds since this process began."""
    if sys.platform != "linux":
        return max(0.0, time.time() - psutil.Process().create_time())
    began = _ticks(os.getpid()) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)


def _ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
    return int(text.rpartition(")")[2].split()[_STARTED])
