"""Ties the life of a process to that of the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from functools import cache

PARENT_GONE = 3
"""Exit status of a process that ended because its parent did."""

_PR_SET_PDEATHSIG = 1
_CHECK_S = 1.0

_forking = 0
"""The process that forks at this moment."""


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


@cache
def end_forks_with_this() -> None:
    """Lets every process forked from now on end with the one it was forked from.

    For workers of libraries that wait for ever when nobody takes their results, as nnU-Net's
    augmentation does. A second call makes no difference; processes started in another way (spawned,
    or by ``subprocess``) are not reached.
    """
    os.register_at_fork(before=_note_pid, after_in_child=_end_with_forking)


def _note_pid() -> None:
    # Asked before the fork: the child may find its parent gone already.
    global _forking
    _forking = os.getpid()


def _end_with_forking() -> None:
    end_with_parent(_forking)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_S)
    os._exit(PARENT_GONE)
