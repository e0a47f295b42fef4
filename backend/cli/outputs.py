"""Options that name what a command writes: whether that can be is told before any work is done."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from domain.errors import SettingsError
from domain.text import one_line

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})
"""What a file that is open already may still end in; such an error names no file."""

_named: list[tuple[str, Path]] = []
"""What this process was told to write: an option and its path."""


def output_file(*flags: str, help: str, **more: Any) -> Any:
    """As ``typer.Option``, of a file to write; its folder is made if missing."""
    return typer.Option(*flags, help=help, callback=_check_file, **more)


def new_file(*flags: str, help: str, **more: Any) -> Any:
    """As ``output_file``, of one that is only read where it is there."""
    return typer.Option(*flags, help=help, callback=_check_new_file, **more)


def output_folder(*flags: str, help: str, **more: Any) -> Any:
    """As ``typer.Option``, of a folder to write into; made if missing."""
    return typer.Option(*flags, help=help, callback=_check_folder, **more)


def begin() -> None:
    """Forgets what an earlier command of this process was told to write."""
    _named.clear()


def is_output(callback: Callable[..., Any] | None) -> bool:
    """Whether an option's callback is that of what is written."""
    return callback in (_check_file, _check_new_file, _check_folder)


def of_output(error: OSError) -> SettingsError | None:
    """What an error says of a file that a person named to be written; None: it is none of these."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | Path)]
    about = [Path(name).absolute() for name in names]
    for option, path in _named:
        whole = path.absolute()
        if any(one in (whole, *whole.parents) or whole in one.parents for one in about):
            return _not_writable(option, path, error)
    if _named and not about and error.errno in _FULL:
        return _not_writable(*_named[0], error)
    return None


def _check_file(param: typer.CallbackParam, value: Path | None) -> Path | None:
    return _check(param, value, is_folder=False)


def _check_new_file(param: typer.CallbackParam, value: Path | None) -> Path | None:
    return value if value is None or _is_there(value) else _check(param, value, is_folder=False)


def _check_folder(param: typer.CallbackParam, value: Path | None) -> Path | None:
    return _check(param, value, is_folder=True)


def _check(param: typer.CallbackParam, value: Path | None, *, is_folder: bool) -> Path | None:
    if value is None:
        return None
    option = str(param.opts[0])
    if _is_there(value) and value.is_dir() != is_folder:
        raise SettingsError(
            f"{value} is a {'file' if is_folder else 'folder'}.",
            remedy=f"Give {option} "
            + ("a folder; it is made if missing." if is_folder else "the name of a file."),
        )
    try:
        _try(value if is_folder else value.parent)
        with suppress(FileNotFoundError):
            value.stat()  # a name may be too long
    except OSError as error:
        raise _not_writable(option, value, error) from error
    _named.append((option, value))
    return value


def _try(folder: Path) -> None:
    """Writes a file without a name into a folder, or where it would be made."""
    nearest = next(one for one in (folder, *folder.absolute().parents) if _is_there(one))
    with tempfile.TemporaryFile(dir=nearest):
        pass


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _not_writable(option: str, path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{path} can't be written: {error.strerror or one_line(error)}.",
        remedy=f"Check the folder's rights and its disk, or name another place with {option}.",
    )
