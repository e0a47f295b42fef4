"""A module that a fork server runs; ``main`` does what its first argument says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

LOADED_BY = os.getpid()
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def main(argv: list[str]) -> int:
    """Prints what a test looks for, and returns its second argument as the exit status."""
    if argv[0] == "tell":
        print(sys.argv[1:], os.getpid() != LOADED_BY, os.environ.get("COLOUR"), flush=True)
    elif argv[0] == "raise":
        raise RuntimeError("as told")
    elif argv[0] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(60)
    elif argv[0] == "helpers":
        beside = subprocess.Popen(SLEEP)
        detached = subprocess.Popen(SLEEP, start_new_session=True)
        print(os.getpid(), beside.pid, detached.pid, flush=True)
        time.sleep(60)
    return int(argv[1]) if len(argv) > 1 else 0
