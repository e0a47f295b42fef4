"""Guarded: a process that ends with this one, and everything it starts with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

_GUARD = Path(__file__).with_name("guard.py")

_SWEEP_S = 4.0
"""Seconds the guard itself needs to sweep up after the grace is over."""


class Guarded:
    """A command, started under a guard (see ``guard.py``).

    Nothing it starts outlives ``stop``, its own end, or this process, however this process ends.
    If the guard itself is killed, the command ends with it, not what the command has detached.
    It leads a session of its own: Ctrl-C in the terminal is this process's to handle.

    Args:
        argv: Command and arguments.
        grace_s: Seconds from SIGTERM to SIGKILL.
        stdout: Where its output goes, as for ``subprocess.Popen``.
        stderr: Where its errors go; by default where its output goes.
        env: The whole environment; None = this process's.
        cwd: Working folder; None = this process's.
        pass_fds: Open files of this process that it gets under the same numbers.

    Raises:
        OSError: The guard can't be started. A command that can't be ends with status 127.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        grace_s: float,
        stdout: int | IO[Any],
        stderr: int | IO[Any] = subprocess.STDOUT,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._grace_s = grace_s
        kept = ",".join(map(str, pass_fds)) or "-"
        guard = [sys.executable, "-P", str(_GUARD), str(grace_s), str(os.getpid()), kept, "--"]
        self._guard: subprocess.Popen[bytes] = subprocess.Popen(
            [*guard, *argv],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
        )

    @property
    def exit_code(self) -> int | None:
        """Exit status (128 + n for signal n); None while it runs."""
        code = self._guard.poll()
        return None if code is None else _status(code)

    @property
    def stdout(self) -> IO[bytes] | None:
        """Its output, if ``stdout`` was ``subprocess.PIPE``."""
        return self._guard.stdout

    @property
    def pid(self) -> int | None:
        """The command's process id; None when it does not run."""
        with contextlib.suppress(psutil.Error, OSError):
            children = psutil.Process(self._guard.pid).children()
            # Adopted orphans are children of the guard too; they are younger than the command.
            for child in sorted(children, key=psutil.Process.create_time):
                if os.getpgid(child.pid) == child.pid:
                    return child.pid
        return None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for its end, at most some seconds if told so; returns ``exit_code``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(timeout_s)
        return self.exit_code

    def stop(self, *, grace_s: float | None = None) -> int:
        """Stops it and everything it started; returns when all have ended. Safe to repeat.

        Args:
            grace_s: Seconds from SIGTERM to SIGKILL if fewer than ``grace_s`` of the beginning.

        Returns:
            Its exit status, as ``exit_code``.
        """
        if self._guard.poll() is None:
            family = _family(self._guard.pid)
            self._guard.send_signal(signal.SIGTERM)
            try:
                self._guard.wait(self._grace_s + _SWEEP_S if grace_s is None else grace_s)
            except subprocess.TimeoutExpired:
                family += _family(self._guard.pid)
                for process in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                self._guard.kill()
                self._guard.wait()
                psutil.wait_procs(family, timeout=5)
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return _status(self._guard.wait())


def ending_signal(code: int) -> str:
    """The name of the signal that an exit status stands for; empty if none ended the process.

    >>> ending_signal(137), ending_signal(1)
    ('SIGKILL', '')
    """
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return ""


def _status(code: int) -> int:
    # Negative when a signal ended the guard itself; the command ended with it.
    return 128 - code if code < 0 else code


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
