"""On the path of nnloop's processes: their clock and their machine's name, as the benchmark wants.

``CHAOS_CLOCK`` names a file with the seconds by which ``time.time`` is ahead, ``CHAOS_HOST`` is
what ``socket.gethostname`` says.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

_LOOK_S = 0.5


class _Clock:
    """``time.time``, set by a file that is looked at now and then."""

    def __init__(self, path: Path) -> None:
        self._path, self._real = path, time.time
        self._ahead, self._looked = 0.0, -_LOOK_S

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            try:
                self._ahead = float(self._path.read_text())
            except (OSError, ValueError):
                self._ahead = 0.0
        return self._real() + self._ahead


if path := os.environ.get("CHAOS_CLOCK"):
    time.time = _Clock(Path(path))
if "CHAOS_HOST" in os.environ:
    socket.gethostname = lambda: os.environ["CHAOS_HOST"]
