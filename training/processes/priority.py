"""Trainings stand back for what somebody waits for: the web service, predictions, Label Studio."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 10
"""Of a training: where both want a core, what somebody waits for gets nine parts of ten."""

VARIABLE = "NNLOOP_TRAINING_NICENESS"
"""Names another one, from 0 (trainings count as much as anything) to 19."""

_AUTOGROUP = Path("/proc/self/autogroup")
"""On many Linux machines the kernel shares cores out between sessions, and niceness counts inside
of one alone; this is the niceness of the session."""


def stand_back() -> None:
    """Lets other processes of the machine go first; this process and what it starts from now on.

    For the life of the process: nobody may raise it again. Where the machine is idle nothing slows.
    """
    chosen = os.environ.get(VARIABLE, "")
    niceness = min(int(chosen), 19) if chosen.isdecimal() else NICENESS
    if not niceness:
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(f"{niceness}\n")
