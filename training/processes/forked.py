"""ForkServer: a module kept loaded in a guarded process, which forks a child for each run."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from training.processes.command import module_command
from training.processes.guarded import Guarded

_MODULE = "training.processes.fork_server"
_SERVER_GRACE_S = 2.0
_SWEEP_S = 4.0
_RECEIVE_BYTES = 65_536
_LOST = 137
"""Status of a child whose server ended without one of its own: it has ended with it, by SIGKILL."""


class Child(Protocol):
    """A process that was started, as ``Guarded`` is one."""

    @property
    def exit_code(self) -> int | None:
        """Exit status (128 + n for signal n); None while it runs."""
        ...

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for its end, at most some seconds if told so; returns ``exit_code``."""
        ...

    def stop(self) -> int:
        """Stops it and everything it started; returns ``exit_code``. Safe to repeat."""
        ...


class ForkServer:
    """Runs a module's ``main`` in children that are forked from a process that has loaded it.

    The process is ``Guarded``: it and its children end with this one. It is started by ``warm``, or
    by the first ``start``, and anew when it has died. For one thread.
    """

    def __init__(self, module: str, *, env: Mapping[str, str], log: int) -> None:
        """Starts nothing yet.

        Args:
            module: Dotted name; it has ``main(argv)``, which returns the exit status.
            env: The whole environment in which it is imported.
            log: Open file for what the process itself has to say.
        """
        self._module, self._env, self._log = module, dict(env), log
        self._process: Guarded | None = None
        self._connection: socket.socket | None = None
        self._codes: dict[int, int] = {}
        self._running: set[int] = set()
        self._unread = b""
        self._last = 0

    def warm(self) -> None:
        """Starts the process, unless it runs; returns at once, while the module is imported."""
        if self._process is not None and self._process.exit_code is None:
            return
        self.close()
        ours, theirs = socket.socketpair()
        try:
            self._process = Guarded(
                module_command(_MODULE, str(theirs.fileno()), self._module),
                grace_s=_SERVER_GRACE_S,
                stdout=self._log,
                env=self._env,
                pass_fds=[theirs.fileno()],
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._connection, self._unread = ours, b""

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, grace_s: float
    ) -> Child:
        """Runs ``main(argv)`` in a new child.

        Args:
            argv: Its arguments.
            env: Variables that it gets beside, or in the place of, the process's.
            log: File to which its output is added.
            grace_s: Seconds from SIGTERM to SIGKILL.

        Raises:
            OSError: The process can't be started.
        """
        self.warm()
        self._last += 1
        order = {"start": self._last, "argv": list(argv), "env": dict(env), "log": str(log)}
        self._running.add(self._last)
        self._send(order)
        return _Forked(self, self._last, grace_s)

    def close(self) -> None:
        """Ends the process and its children. Safe to repeat."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        code = 0
        if self._process is not None:
            self._process.wait(_SERVER_GRACE_S)  # it ends by itself, or has
            code = self._process.stop()
            self._process = None
        for number in self._running:
            self._codes[number] = code or _LOST
        self._running.clear()

    def code_of(self, number: int, timeout_s: float) -> int | None:
        """Exit status of a child, waiting for it; None while it runs."""
        until = time.monotonic() + timeout_s
        while number not in self._codes:
            assert self._connection is not None  # noqa: S101 - else ``close`` gave it a status
            left = max(0.0, until - time.monotonic())
            readable, _, _ = select.select([self._connection], [], [], left)
            if readable:
                self._receive()
            elif left == 0.0:
                return None
        return self._codes[number]

    def stop_child(self, number: int, grace_s: float) -> int:
        """Ends a child; with the whole process where that does not help."""
        if (code := self.code_of(number, 0.0)) is None:
            self._send({"stop": number, "grace_s": grace_s})
            code = self.code_of(number, grace_s + _SWEEP_S)
        if code is None:
            self.close()
        return self._codes[number]

    def _send(self, order: dict[str, object]) -> None:
        if self._connection is not None:
            try:
                self._connection.sendall(json.dumps(order).encode() + b"\n")
            except OSError:
                self.close()

    def _receive(self) -> None:
        assert self._connection is not None  # noqa: S101 - who calls it has looked
        try:
            received = self._connection.recv(_RECEIVE_BYTES)
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            self._codes[int(answer["child"])] = int(answer["code"])
            self._running.discard(int(answer["child"]))


class _Forked:
    def __init__(self, server: ForkServer, number: int, grace_s: float) -> None:
        self._server, self._number, self._grace_s = server, number, grace_s

    @property
    def exit_code(self) -> int | None:
        return self._server.code_of(self._number, 0.0)

    def wait(self, timeout_s: float | None = None) -> int | None:
        while True:
            code = self._server.code_of(self._number, 3600.0 if timeout_s is None else timeout_s)
            if code is not None or timeout_s is not None:
                return code

    def stop(self) -> int:
        return self._server.stop_child(self._number, self._grace_s)
