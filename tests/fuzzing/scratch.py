"""Where targets write what their parsers read: a folder that is made anew for each input."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PLACE = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""In memory where there is such a place: millions of files are written."""

_given: list[Path] = []


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


def use(path: Path) -> None:
    """From now on inputs lie in a folder that somebody else removes."""
    _given.append(path)


def _root() -> Path:
    return _given[-1] if _given else _own()


@cache
def _own() -> Path:
    found = tempfile.mkdtemp(prefix="nnloop-fuzz-", dir=PLACE)
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return Path(found)
