"""Images of a source, read once: masks are decoded one time for all that is asked about them."""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from converters.imports.source import ImportFormat, ImportOptions, ImportSource

_IN_MEMORY_BYTES = 64 * 1024 * 1024
"""More than that lies in a temporary file: label maps are packed well."""

_LEVEL = 1
_LENGTH_BYTES = 8


class Spool:
    """All entries of a source as they were at one moment, to be gone through several times.

    One is in memory at a time.

    Args:
        entries: The source's.
        on_entry: Called after each.
    """

    def __init__(self, entries: ImportSource, on_entry: Callable[[], None] = lambda: None) -> None:
        # Closed when nobody has it any more, and its file with it.
        self._file: Any = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        for entry in entries:
            packed = zlib.compress(pickle.dumps(entry), _LEVEL)
            self._file.write(len(packed).to_bytes(_LENGTH_BYTES, "little"))
            self._file.write(packed)
            on_entry()

    def entries(self) -> ImportSource:
        """Those of the source, in its order; several may be under way at once."""
        at = 0
        while True:
            self._file.seek(at)
            length = int.from_bytes(self._file.read(_LENGTH_BYTES), "little")
            if not length:
                return
            packed = self._file.read(length)
            at += _LENGTH_BYTES + length
            yield pickle.loads(zlib.decompress(packed))  # noqa: S301 - written above

    def as_format(self, format_: ImportFormat) -> ImportFormat:
        """The format, with what was read in the place of its files."""

        def read(path: Path, options: ImportOptions) -> Iterator[Any]:
            return self.entries()

        return ImportFormat(format_.name, format_.summary, read)
