"""Ties the life of a process to that of the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT_GONE = 3
"""Exit status of a process that ended because its parent did."""

_PR_SET_PDEATHSIG = 1
_CHECK_S = 1.0


def end_with_parent(parent: int | None = None) -> None:
    """Ends this process when its parent does: at once on Linux, within a second elsewhere.

    On Linux it also ends with the thread that started it.

    Args:
        parent: Process id of the parent; None: the present one. Give it where the parent may be
            gone already.
    """
    expected = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(expected,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_S)
    os._exit(PARENT_GONE)
