"""Zips that may be damaged or hostile: one error for all that Python's reader raises."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, LargeZipFile, ZipFile

_RAISED = (
    LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)
"""Beside BadZipFile: of places before the file's begin, other versions, packings, passwords."""

_PART = 2**20


def opened_zip(path: Path) -> ZipFile:
    """A zip file, to be closed.

    Raises:
        OSError: There is no such file, or nobody may read it.
        BadZipFile: It is none that can be read.
    """
    with path.open("rb"):  # what is the matter with the file itself is said as it is
        pass
    try:
        return ZipFile(path)
    except _RAISED as error:
        raise BadZipFile(str(error) or type(error).__name__) from error


def parts_of(archive: ZipFile, name: str) -> Iterator[bytes]:
    """What is in an entry, part by part.

    Raises:
        KeyError: There is no such entry.
        BadZipFile: It can't be unpacked.
    """
    try:
        with archive.open(name) as source:
            while part := source.read(_PART):
                yield part
    except _RAISED as error:
        raise BadZipFile(str(error) or type(error).__name__) from error
