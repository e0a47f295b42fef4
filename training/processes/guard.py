"""Guard: runs one command and lets nothing of it outlive the process that asked for it.

A program of its own, run by file (``python guard.py GRACE_S PARENT FDS -- COMMAND...``), between a
process of nnloop's and each one it starts (``Guarded``). It loads nothing that is slow to load. FDS
are open files that the command alone gets, numbers with commas, or ``-`` for none. Its
standard input is a pipe that the parent holds: the end of the pipe means that the parent has gone,
however it went (SIGKILL too), and the guard then stops the command. A process that the parent
forked may hold the pipe open: so the guard also looks whose child it is, every second.

Why not PR_SET_PDEATHSIG alone: it fires when the *thread* that started the process ends, it does
not reach grandchildren, and only Linux has it. Here the guard is a "child subreaper": every
descendant that loses its parent becomes the guard's child, so all can be found and stopped (on
systems without it, those in the command's process group).

Exit status: the command's, 128 + n if signal n ended it, 127 if it could not be started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_ORPHAN_GRACE_S = 2.0
_CHECK_S = 1.0
_IS_SUBREAPER = sys.platform == "linux"


def main(argv: list[str]) -> int:
    """Runs the command until it ends, a signal comes, or the parent has gone."""
    grace_s, parent, command = float(argv[1]), int(argv[2]), argv[5:]
    kept = [int(number) for number in argv[3].split(",")] if argv[3] != "-" else []
    wake = _wakeup_pipe()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        # One thread only, so preexec_fn is safe here: the command dies if the guard is killed.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_die_with_guard,
            pass_fds=kept,
        )
    except OSError as error:
        print(f"{command[0]} can't be started: {error}", file=sys.stderr)  # noqa: T201
        return 127
    for number in kept:
        os.close(number)
    status = _watch(child.pid, parent, wake)
    if status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        status = _reap_until(child.pid, time.monotonic() + grace_s)
    _sweep(child.pid)
    if status is None:
        status = 128 + signal.SIGKILL
    child.returncode = status  # reaped here, not by subprocess
    return status


def _watch(pid: int, parent: int, wake: int) -> int | None:
    """Waits; the command's status if it ended, None if it is to be stopped."""
    while True:
        status, _ = _reap(pid)
        if status is not None:
            return status
        readable, _, _ = select.select([0, wake], [], [], _CHECK_S)
        if (0 in readable and not os.read(0, 1)) or os.getppid() != parent:
            return None
        if wake in readable:
            numbers = os.read(wake, 256)
            if any(n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) for n in numbers):
                return None


def _reap(pid: int) -> tuple[int | None, bool]:
    """Collects ended children: (status of ``pid`` if among them, whether any child is left)."""
    found = None
    while True:
        try:
            ended, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found, False
        if ended == 0:
            return found, True
        if ended == pid:
            code = os.waitstatus_to_exitcode(raw)
            found = code if code >= 0 else 128 - code


def _reap_until(pid: int, deadline: float) -> int | None:
    while time.monotonic() < deadline:
        status, left = _reap(pid)
        if status is not None or not left:
            return status
        time.sleep(0.05)
    return None


def _sweep(pid: int) -> None:
    """Stops every descendant that is left: first politely, then for certain."""
    deadline = time.monotonic() + _ORPHAN_GRACE_S
    polite = True
    while True:
        _reap(pid)
        left = _left(pid)
        if not left:
            return
        late = time.monotonic() > deadline
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                if late:
                    process.kill()
                elif polite:
                    process.terminate()
        polite = False
        if late and time.monotonic() > deadline + 5:
            return  # a process that even SIGKILL can't end hangs in the kernel
        time.sleep(0.05)


def _left(pid: int) -> list[psutil.Process]:
    left = psutil.Process().children(recursive=True)
    if not _IS_SUBREAPER:
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if os.getpgid(process.pid) == pid:
                    left.append(process)
    return left


def _wakeup_pipe() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reader


def _die_with_guard() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _IS_SUBREAPER:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
