"""LogFile: the log of a process that nnloop starts, rotated while it is written.

The process writes into a pipe, and a thread of nnloop's from there into the file. So there is one
writer, which no line is lost on when the file is set aside, whatever program it is and however many
processes it has; and a disk that is full stops nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

_AT_ONCE = 65_536
_PIPE_BYTES = 1024 * 1024
"""So much may be said while the disk is busy, before who says it waits (Linux)."""

_LONGEST_LINE = 1024 * 1024

_DRAIN_S = 2.0
"""Seconds to wait for the last lines of a process that has ended. One it has left behind may hold
the pipe open for longer."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a log is set aside, and what is kept.

    Attributes:
        max_bytes: A log larger than this becomes ``.1``, ``.1`` becomes ``.2``, and so on.
        n_files: So many of these are kept.
        days: One whose last line is older is deleted.
    """

    max_bytes: int = 20 * 1024 * 1024
    n_files: int = 5
    days: float = 30.0


class LogFile:
    """A log that several processes, one after the other or at once, may write.

    Args:
        path: The file; made with its folder, readable by its owner only.
        rotation: When it is set aside.
    """

    def __init__(self, path: Path, rotation: Rotation) -> None:
        self.path, self._rotation = path, rotation
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._n_lost = 0
        self._readers: list[threading.Thread] = []

    @contextmanager
    def writer(self) -> Iterator[int]:
        """A file number for a process to write to; it is read until everybody has closed it.

        Raises:
            OSError: The file can't be written.
        """
        with self._lock:
            self._open()
        read_end, write_end = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # more than this user may have
                fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        reader = threading.Thread(
            target=self._read, args=(read_end,), name=f"log {self.path.name}", daemon=True
        )
        reader.start()
        self._readers = [*(one for one in self._readers if one.is_alive()), reader]
        try:
            yield write_end
        finally:
            os.close(write_end)

    def drain(self) -> None:
        """Waits for the last lines of what has ended."""
        deadline = time.monotonic() + _DRAIN_S
        for reader in self._readers:
            reader.join(max(0.0, deadline - time.monotonic()))

    def _read(self, number: int) -> None:
        """Writes whole lines as they come: those of several writers stay apart."""
        part = b""
        try:
            while received := os.read(number, _AT_ONCE):
                whole, newline, rest = received.rpartition(b"\n")
                if newline:
                    self._write(part + whole + newline)
                    part = rest
                else:
                    part += rest
                if len(part) > _LONGEST_LINE:  # none ever ends
                    self._write(part + b"\n")
                    part = b""
        finally:
            os.close(number)
            if part:
                self._write(part + b"\n")

    def _write(self, lines: bytes) -> None:
        with self._lock:
            try:
                file, size = self._open()
                if size and size + len(lines) > self._rotation.max_bytes:
                    set_aside(self.path, self._rotation)
                    file, _ = self._open()
                if self._n_lost:
                    lost = f"nnloop: {self._n_lost} bytes of this log could not be written.\n"
                    file.write(lost.encode())
                    self._n_lost = 0
                file.write(lines)
            except OSError:  # a full disk; what comes later may be written again
                self._n_lost += len(lines)

    def _open(self) -> tuple[FileIO, int]:
        """The file and its size; opened anew where somebody has moved or removed it."""
        if self._file is not None:
            found = os.fstat(self._file.fileno())
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(found, self.path.stat()):
                    return self._file, found.st_size
            self._file.close()
            self._file = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = private_log(self.path)
        except PermissionError:  # of another user of a shared folder: each has their own
            set_aside(self.path, self._rotation)
            self._file = private_log(self.path)
        return self._file, os.fstat(self._file.fileno()).st_size


def set_aside(path: Path, rotation: Rotation) -> None:
    """Makes room for a new log: ``x.log`` becomes ``x.log.1``, and so on; what is too much goes.

    Raises:
        OSError: The folder can't be written.
    """
    kept = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, rotation.n_files + 1))]
    kept[-1].unlink(missing_ok=True)
    for older, newer in zip(kept[:0:-1], kept[-2::-1], strict=True):
        if newer.exists():
            newer.replace(older)
    for one in kept[1:]:
        with contextlib.suppress(OSError):
            if time.time() - one.stat().st_mtime > rotation.days * 86_400:
                one.unlink()


def private_log(path: Path) -> FileIO:
    """Opens a log to append to, unbuffered, readable by the owner only: it may be private."""
    return FileIO(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
