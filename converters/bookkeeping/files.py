"""Files that appear whole or not at all, and folders listed quickly."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_PACKED = (b"\x1f\x8b", b"PK\3\4", b"BZh", b"\xfd7zX", b"7z\xbc\xaf", b"Rar!")


def replace_with(path: Path, write: Callable[[Path], None], *, mode: int | None = None) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, then renames it over ``path``.

    A reader sees the old file or the new one, never half of it. When ``write`` raises, the
    temporary file is removed and ``path`` stays as it was. With a ``mode`` it gets these
    permissions at the end, and only its owner may read it until then; without one, those of any
    new file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_file(path.parent, f".{path.name}.", ".tmp", 0o666 if mode is None else 0o600)
    try:
        write(temporary)
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes | Iterable[bytes], *, mode: int | None = None) -> None:
    """Writes ``data``, whole or in parts as they come, to ``path`` atomically."""
    replace_with(path, lambda temporary: _write(temporary, data), mode=mode)


def new_file(folder: Path, prefix: str, suffix: str, mode: int = 0o666) -> Path:
    """An empty file of a name that nobody has; unlike tempfile's, with what the umask leaves."""
    while True:
        path = folder / f"{prefix}{secrets.token_hex(4)}{suffix}"
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode))
        except FileExistsError:
            continue
        return path


def new_folder(folder: Path, prefix: str) -> Path:
    """An empty folder of a name that nobody has; unlike tempfile's, with what the umask leaves."""
    while True:
        path = folder / f"{prefix}{secrets.token_hex(4)}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def write_json(path: Path, value: Any, *, mode: int | None = None) -> None:
    """Writes ``value`` as indented JSON atomically; ``mode`` 0o600 keeps it to its owner."""
    data = (json.dumps(value, indent=1) + "\n").encode()
    replace_with(path, lambda temporary: _write(temporary, data), mode=mode)


def update_json(path: Path, value: Any) -> bool:
    """Writes ``value`` as JSON on one line, atomically, unless it is there; whether it wrote.

    For large values: without indentation they are encoded several times faster.
    """
    data = (json.dumps(value, separators=(",", ":")) + "\n").encode()
    if path.exists() and path.read_bytes() == data:
        return False
    write_bytes(path, data)
    return True


def read_json(path: Path) -> Any:
    """The JSON value in ``path``."""
    return json.loads(path.read_text())


def link_or_copy(source: Path, target: Path) -> None:
    """Makes ``target`` a hard link of ``source``, or a copy where links are not possible.

    Safe for files that are only ever replaced, never written in place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        write_bytes(target, source.read_bytes())


def file_names(folder: Path) -> set[str]:
    """Names of everything in a folder; none when it is not there.

    Without a Path for each, which would cost more than the listing.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def is_packed(path: Path) -> bool:
    """Whether a file is an archive or compressed, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(6).startswith(_PACKED)
    except OSError:
        return False  # reading it will say so


def _write(path: Path, data: bytes | Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())


def stamp_of(path: Path) -> str:
    """A text that changes when a file does: its size and the time it was written.

    Raises:
        OSError: There is no file.
    """
    about = path.stat()
    return f"{about.st_size} {about.st_mtime_ns}"


def exact_stamp_of(path: Path) -> str:
    """As ``stamp_of``, and another one too when a file is renamed or put back.

    Such files keep size and time, as those of one archive have them in common: where two of them
    change places, only the time at which anything about them changed tells it.

    Raises:
        OSError: There is no file.
    """
    return f"{stamp_of(path)} {path.stat().st_ctime_ns}"


def json_list(rows: Iterable[Any]) -> Iterator[bytes]:
    """The parts of a file with a JSON list, a row in each line; one row in memory at a time."""
    separator = "[\n"
    for row in rows:
        yield (separator + json.dumps(row, ensure_ascii=False)).encode()
        separator = ",\n"
    yield b"[]\n" if separator == "[\n" else b"\n]\n"
