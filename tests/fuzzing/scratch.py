"""Where targets write what their parsers read: a folder that is made anew for each input."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder; what is in it goes afterwards."""
    path = _root() / "in"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def written(path: Path, data: bytes) -> Path:
    """The path, with the data in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@cache
def _root() -> Path:
    # In memory where there is such a place: millions of files are written.
    memory = Path("/dev/shm")
    found = tempfile.mkdtemp(prefix="nnloop-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return Path(found)
