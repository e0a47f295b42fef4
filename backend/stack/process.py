"""ManagedProcess: one process that nnloop starts, waits for, and stops with all it started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from backend.credentials import is_secret
from backend.stack.log_file import LogFile, Rotation
from domain.errors import StackError
from training.processes.guarded import Guarded

POLL_S = 0.1
"""Seconds between two looks while a process starts."""

STACK_VARIABLE = "NNLOOP_STACK"
"""Environment variable that marks every process of one supervisor, to find leftovers by."""

STDOUT = 1

_TAIL_LINES = 15


def _no_check() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run.

    Attributes:
        name: For people ("Label Studio").
        argv: Command and arguments. Never secrets: other users can read them.
        log_path: Takes standard output and standard error; None: they go where nnloop's go.
        env: The whole environment; None = nnloop's own.
        cwd: Working folder; None = nnloop's own.
        is_ready: Cheap check that it does its work, asked while it starts. False = not yet.
        start_timeout_s: Seconds until it must be ready.
        stop_grace_s: Seconds from SIGTERM to SIGKILL.
        remedy: What a person can do if it does not start.
        rotation: When the log is set aside.
    """

    name: str
    argv: tuple[str, ...]
    log_path: Path | None
    env: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: Path | None = None
    is_ready: Callable[[], bool] = field(default=_no_check, repr=False)
    start_timeout_s: float = 60.0
    stop_grace_s: float = 10.0
    remedy: str = ""
    rotation: Rotation = field(default_factory=Rotation)


class ManagedProcess:
    """A process by its spec. Start it again after it has ended to get a new one.

    The command is ``Guarded``: nothing it starts outlives ``stop``, its own end, or the death of
    nnloop.
    """

    def __init__(self, spec: ProcessSpec, *, stack_id: str = "") -> None:
        self.spec = spec
        self._stack_id = stack_id
        self._guarded: Guarded | None = None
        self._log = LogFile(spec.log_path, spec.rotation) if spec.log_path is not None else None

    def __repr__(self) -> str:
        return f"ManagedProcess({self.spec.name!r}, pid={self.pid})"

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._guarded is not None and self._guarded.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """Exit status (128 + n for signal n), None while it runs or before it started."""
        return None if self._guarded is None else self._guarded.exit_code

    @property
    def pid(self) -> int | None:
        """The command's process id; None when it does not run."""
        return None if self._guarded is None else self._guarded.pid

    def start(self) -> None:
        """Starts it and waits until it is ready.

        Raises:
            StackError: It can't be started, ended early, or was not ready in time. Then nothing
                of it is left running. The message ends with the last lines of its log.
        """
        self.launch()
        deadline = time.monotonic() + self.spec.start_timeout_s
        try:
            while self.pid is None or not self.spec.is_ready():
                if not self.is_running:
                    raise self._failed(f"ended with status {self.exit_code} while starting")
                if time.monotonic() > deadline:
                    raise self._failed(f"was not ready after {self.spec.start_timeout_s:g} s")
                time.sleep(POLL_S)
            if not self.is_running:
                # The check may have been answered by a foreign process on the same port.
                raise self._failed(f"ended with status {self.exit_code} while starting")
        except BaseException:
            self.stop(grace_s=1.0)
            raise

    def launch(self) -> None:
        """Starts it without waiting until it is ready.

        Raises:
            StackError: The log can't be written or the guard not be started.
        """
        if self.is_running:
            return
        env = dict(os.environ if self.spec.env is None else self.spec.env)
        if self._stack_id:
            env[STACK_VARIABLE] = self._stack_id
        try:
            with self._output() as log:
                self._guarded = Guarded(
                    self.spec.argv,
                    grace_s=self.spec.stop_grace_s,
                    stdout=log,
                    env=env,
                    cwd=self.spec.cwd,
                )
        except OSError as error:
            raise StackError(
                f"{self.spec.name} can't be started: {error}.",
                remedy=self.spec.remedy or "Check the folder, its rights and the free space.",
            ) from error

    def stop(self, *, grace_s: float | None = None) -> None:
        """Stops it and everything it started; returns when all have ended. Safe to repeat.

        Args:
            grace_s: Seconds from SIGTERM to SIGKILL if fewer than the spec's.
        """
        if self._guarded is not None:
            self._guarded.stop(grace_s=grace_s)
            if self._log is not None:
                self._log.drain()

    def _output(self) -> AbstractContextManager[int]:
        return nullcontext(STDOUT) if self._log is None else self._log.writer()

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of its log, with the values of secret variables blotted out."""
        if self.spec.log_path is None:
            return ""
        if self._log is not None and not self.is_running:
            self._log.drain()
        try:
            with self.spec.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 200 * lines))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        for name, value in (self.spec.env or {}).items():
            # An address may hold a password.
            is_one = is_secret(name) or name.upper().endswith("_URL")
            if len(value) >= 6 and is_one:
                text = text.replace(value, "***")
        return "\n".join(text.strip().splitlines()[-lines:])

    def _failed(self, what: str) -> StackError:
        if self.spec.log_path is None:
            said, log = "", "what it has written"
        else:
            tail = self.log_tail()
            said = f" Its log ends with:\n{tail}" if tail else " Its log is empty."
            log = str(self.spec.log_path)
        remedy = self.spec.remedy or f"See {log}."
        return StackError(f"{self.spec.name} {what}.{said}", remedy=remedy)
