"""``python -m training.processes.fork_server FD MODULE``: a module loaded once, run many times.

It imports MODULE, and then, for each line that comes by the socket FD, forks a child that runs the
module's ``main`` with the arguments told. A child needs no time to import anything, and shares the
memory of what was imported. ``ForkServer`` (``forked.py``) is the other end.

It has one thread, and must not have used what does not survive a fork (CUDA, a pool of threads)
when it forks. When the other end is closed it stops its children and ends; when it is killed they
end with it. Nothing that a child has started is left after its end.

Lines are JSON. In: ``{"start": n, "argv": [...], "env": {...}, "log": path}`` and ``{"stop": n,
"grace_s": s}``. Out: ``{"child": n, "code": status}``, 128 + n where signal n ended it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_CHECK_S = 0.5
_LINE_BYTES = 65_536


@dataclass(slots=True)
class _Child:
    number: int
    pid: int
    kill_at: float | None = None


class _Forked(BaseException):
    """Raised in a new child, where it leads out of the server's loop."""

    def __init__(self, argv: list[str]) -> None:
        super().__init__()
        self.argv = argv


def main(argv: list[str]) -> int:
    """Serves until the other end is closed; in a child, runs it to its end."""
    connection = socket.socket(fileno=int(argv[1]))
    # What a child has detached becomes this process's own child when its parent ends.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    module = importlib.import_module(argv[2])
    try:
        _Server(connection).serve()
    except _Forked as forked:
        sys.argv = [argv[2], *forked.argv]
        try:
            code = int(module.main(forked.argv))
        except Exception:  # noqa: BLE001 - as the interpreter would
            traceback.print_exc()
            code = 1
        _leave(code)
    return 0


def _leave(code: int) -> NoReturn:
    """Ends a child as the interpreter does, but leaves what was imported where it is.

    Taking it down would copy the pages that are shared with the server, for a second.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # joins those that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Server:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._children: dict[int, _Child] = {}
        self._unread = b""
        self._wake, writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._writer = writer

    def serve(self) -> None:
        while True:
            listened = [self._connection.fileno(), self._wake]
            readable, _, _ = select.select(listened, [], [], _CHECK_S)
            if self._wake in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 256)
            self._reap()
            if listened[0] in readable:
                received = self._connection.recv(_LINE_BYTES)
                if not received:
                    self._end()
                    return
                *lines, self._unread = (self._unread + received).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
            self._kill_late()

    def _take(self, order: dict[str, Any]) -> None:
        if "start" in order:
            pid = self._fork(order)
            self._children[pid] = _Child(order["start"], pid)
            return
        for child in self._children.values():
            if child.number == order["stop"]:
                child.kill_at = time.monotonic() + order["grace_s"]
                _signal(child.pid, signal.SIGTERM)

    def _fork(self, order: dict[str, Any]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        server = os.getpid()
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):  # it has done so itself
                os.setpgid(pid, pid)
            return pid
        os.setpgid(0, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(128 + signal.SIGKILL)  # it ended before we could be told
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        self._connection.close()
        os.close(self._wake)
        os.close(self._writer)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.update(order["env"])
        raise _Forked(order["argv"])

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, raw = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            child = self._children.pop(pid)
            _signal(pid, signal.SIGKILL)  # what is left of its group
            self._sweep()
            code = os.waitstatus_to_exitcode(raw)
            line = json.dumps({"child": child.number, "code": code if code >= 0 else 128 - code})
            with contextlib.suppress(OSError):  # the other end is closed: it will be seen
                self._connection.sendall(line.encode() + b"\n")

    def _sweep(self) -> None:
        """Ends what was detached by a child that has ended."""
        for process in psutil.Process().children():
            if process.pid not in self._children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait()

    def _kill_late(self) -> None:
        for child in self._children.values():
            if child.kill_at is not None and time.monotonic() > child.kill_at:
                _signal(child.pid, signal.SIGKILL)

    def _end(self) -> None:
        for pid in self._children:
            _signal(pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
