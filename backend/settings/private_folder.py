"""The data folder is its owner's: images of patients, labels and passwords lie in it.

What a umask takes from other users is taken from the folder and everything in it: at every start
from the folder, once from what an older nnloop, or another umask, has left open. Nothing is ever
opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from domain.text import counted

_MARK = ".private"
"""Says by which umask everything in the folder was gone through."""

_SETTING = "NNLOOP_UMASK=027 lets its group read, 007 write (docs/securing.md)."


@dataclass(frozen=True, slots=True)
class Privacy:
    """What was found and done, as a sentence ("" for nothing), and whether it is private now."""

    said: str = ""
    is_private: bool = True


def make_private(data_dir: Path, umask: int) -> Privacy:
    """Makes the folder, or takes from an existing one what others may not do.

    Links are not followed. A file with a second name outside the folder stays as it is, and so
    does what belongs to another user. The home folder, and one that everybody may write to, are
    left alone: they hold more than nnloop's.

    Args:
        data_dir: Made when it does not exist.
        umask: Bits that others, and the group, do not get.

    Raises:
        OSError: The folder can't be made or read.
    """
    if not data_dir.exists():
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was quicker
            data_dir.mkdir(mode=0o700)
            # The bits that a shared folder hands down stay.
            data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) & ~0o777 | (0o777 & ~umask))
            _mark(data_dir, umask)
            return Privacy()
    if why := _not_ours(data_dir):
        said = open_to_others(data_dir, umask)
        return Privacy(said and f"{said} {why}", not said)
    was = stat.S_IMODE(data_dir.stat().st_mode)
    if was & umask:
        with contextlib.suppress(OSError):  # said below
            data_dir.chmod(was & ~umask)
        if said := open_to_others(data_dir, umask):
            return Privacy(
                f"{said} Its disk does not let nnloop close it: name a folder on another one "
                "(NNLOOP_DATA_DIR), or mount it for its user alone.",
                is_private=False,
            )
    n_files = _go_through(data_dir, umask) if _marked(data_dir) != umask else 0
    if not was & umask:  # nobody else could reach what was open in it
        return Privacy()
    inside = f", and {counted(n_files, 'file or folder', 'files and folders')} in it"
    return Privacy(
        f"The data folder {data_dir} was open to other users (mode {was:04o}). It was made private"
        f"{inside if n_files else ''}. {_SETTING}"
    )


def open_to_others(data_dir: Path, umask: int) -> str:
    """What other users may do with the folder that they should not, as a sentence; "" for nothing.

    Asks for the folder alone: who can't enter it reaches nothing in it.
    """
    try:
        mode = stat.S_IMODE(data_dir.stat().st_mode)
    except OSError:
        return ""
    if not mode & umask:
        return ""
    return (
        f"The data folder {data_dir} is open to other users (mode {mode:04o}, "
        f"{mode & ~umask:04o} is meant)."
    )


def make_store_file(path: Path, umask: int) -> None:
    """Makes an empty SQLite file where there is none: SQLite's own has no group that may write."""
    with contextlib.suppress(FileExistsError):
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(made, 0o666 & ~umask)
        finally:
            os.close(made)


def _not_ours(data_dir: Path) -> str:
    found = data_dir.stat()
    homes: tuple[Path, ...] = ()
    with contextlib.suppress(RuntimeError):  # a user without one, as in some containers
        home = Path("~").expanduser().resolve()
        homes = (home, *home.parents)
    if data_dir in homes or found.st_mode & stat.S_ISVTX:
        return "It holds more than nnloop's: give nnloop a folder of its own (NNLOOP_DATA_DIR)."
    if found.st_uid != os.geteuid():
        return f"It belongs to another user, who has to close it. {_SETTING}"
    return ""


def _go_through(data_dir: Path, umask: int) -> int:
    """Takes the bits from everything in the folder; returns from how much."""
    n_changed = 0
    names: Counter[tuple[int, int]] = Counter()
    user = os.geteuid()
    for _, folders, files, folder in os.fwalk(data_dir, follow_symlinks=False):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):  # gone meanwhile, or not ours to change
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                is_file = stat.S_ISREG(found.st_mode)
                if found.st_uid != user or not (is_file or stat.S_ISDIR(found.st_mode)):
                    continue
                if not found.st_mode & umask:
                    continue
                if is_file and found.st_nlink > 1:
                    names[found.st_dev, found.st_ino] += 1
                    # Only with its last name: until then it may have one outside.
                    if names[found.st_dev, found.st_ino] < found.st_nlink:
                        continue
                _take(name, folder, found, umask)
                n_changed += 1
    _mark(data_dir, umask)
    return n_changed


def _take(name: str, folder: int, seen: os.stat_result, umask: int) -> None:
    # What was looked at is what is changed, also when a link took its place meanwhile.
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        found = os.fstat(opened)
        if (found.st_dev, found.st_ino) == (seen.st_dev, seen.st_ino):
            os.fchmod(opened, stat.S_IMODE(found.st_mode) & ~umask)
    finally:
        os.close(opened)


def _marked(data_dir: Path) -> int | None:
    try:
        return int((data_dir / _MARK).read_text(), 8)
    except (OSError, ValueError):
        return None


def _mark(data_dir: Path, umask: int) -> None:
    with contextlib.suppress(OSError):  # then it is gone through again at the next start
        (data_dir / _MARK).write_text(f"{umask:03o}\n")
