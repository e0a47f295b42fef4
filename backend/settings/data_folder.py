"""The data folder's own name, by which processes see that they share one."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

_FILE = "installation"
# Between making the file and writing it lie microseconds; a network disk may show it later.
_PATIENCE_S = 5.0


def installation_id(data_dir: Path) -> str:
    """A name that a data folder gets once and keeps; another folder has another one.

    Args:
        data_dir: Made when it does not exist.

    Raises:
        OSError: The folder can't be written or read.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / _FILE
    try:
        with path.open("x") as file:  # two processes may come at once: one of them makes it
            file.write(uuid.uuid4().hex)
    except FileExistsError:
        pass
    deadline = time.monotonic() + _PATIENCE_S
    while not (name := path.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    if not name:  # its maker died between the two
        name = uuid.uuid4().hex
        path.write_text(name)
    return name


def installation_name(folder: str, store_kind: str) -> str:
    """What all processes at one Redis have in common, as ``backend.queue`` compares it.

    Args:
        folder: Of ``installation_id``; "" where it is not known, as the name is then.
        store_kind: Of the settings. A worker without NNLOOP_DATABASE_URL makes a SQLite store of
            its own in the common folder, and would take jobs of what it can't find.
    """
    return f"{folder}|{store_kind}" if folder else ""


def known_installation_id(data_dir: Path) -> str:
    """The name that a data folder has; "" where it has none yet, or can't be read."""
    try:
        return (data_dir / _FILE).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
