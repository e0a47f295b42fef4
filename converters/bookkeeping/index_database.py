"""The SQLite file of a WorkIndex, whose errors about the disk are those of any other file."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class IndexDatabase:
    """A connection whose errors about the disk are those of any other file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._about_disk():
            self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None)

    def execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """As sqlite3's connection; OSError where the file can't be used or the disk is full."""
        with self._about_disk():
            return self._db.execute(query, values)

    def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """``execute`` for each row."""
        with self._about_disk():
            self._db.executemany(query, rows)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All that is done inside, or nothing of it."""
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise

    def close(self) -> None:
        """Lets others have the file."""
        self._db.close()

    @contextmanager
    def _about_disk(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            code = errno.ENOSPC if is_full else errno.EIO
            raise OSError(code, str(error), str(self._path)) from error
