"""One process at a time in a folder that a person named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from domain.errors import SettingsError
from domain.text import one_line

_LOCK = ".lock"


@contextmanager
def alone_in(root: Path, work: str) -> Iterator[None]:
    """Nobody else writes in this folder meanwhile.

    Where nothing was written in it for an error, a folder that was made for this goes again.

    Args:
        root: The folder; made if missing.
        work: What is done there, for the error: ``Another <work> is at work in ...``.

    Raises:
        SettingsError: Another process is at work there, or nothing can be written there.
    """
    is_new = not root.exists()
    lock = FileLock(root / _LOCK, timeout=0)
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise SettingsError(
            f"Another {work} is at work in {root}.",
            remedy="Wait for its end, or choose another folder with --out.",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{root} can't be written: {error.strerror or one_line(error)}.",
            remedy="Check the folder's rights and its disk, or choose another one with --out.",
        ) from error
    with lock:
        try:
            yield
        except BaseException:
            if is_new and [file.name for file in root.iterdir()] in ([], [_LOCK]):
                with suppress(OSError):
                    (root / _LOCK).unlink(missing_ok=True)
                    root.rmdir()
            raise
