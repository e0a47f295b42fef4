"""The file of settings: which one it is, and whether it can be read."""

from __future__ import annotations

import os
from pathlib import Path

from domain.errors import SettingsError

CONFIG = "NNLOOP_CONFIG"


def settings_file() -> Path:
    """The file that ``NNLOOP_CONFIG`` names, else ``nnloop.toml`` of the working folder."""
    if named := os.environ.get(CONFIG):
        return Path(named)
    found = Path("nnloop.toml")
    try:
        found.is_file()
    except PermissionError:  # as after `sudo -u nnloop` in a home folder: nothing there is meant
        return Path(os.devnull)
    return found


def require_readable(file: Path) -> None:
    """Raises SettingsError where a file of settings is named and not there, or may not be read."""
    try:
        if file.is_file():
            file.open("rb").close()
        elif os.environ.get(CONFIG):
            raise SettingsError(
                f"{CONFIG} names a file that does not exist: {str(file)!r}.",
                remedy="Correct it, or unset it.",
            )
    except PermissionError:
        raise SettingsError(
            f"The settings in {file} may not be read by this user.",
            remedy="Run nnloop as the user whose they are: sudo -u USER env "
            f"{CONFIG}={file} nnloop ... (docs/operations.md#as-a-systemd-service).",
        ) from None
