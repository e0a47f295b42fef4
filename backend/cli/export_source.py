"""What `nnloop export` is asked to read: an export file, or a project of Label Studio."""

from __future__ import annotations

import re
from pathlib import Path

from converters.bookkeeping.files import is_packed
from domain.errors import FileFormatError

_OF_FILES = frozenset(
    {".jsonl", ".ndjson", ".jsn", ".jason", ".json5", ".gz", ".bz2", ".xz", ".zip", ".tar", ".7z"}
    | {".csv", ".tsv", ".xml", ".txt", ".yaml", ".yml", ".png", ".jpg", ".tif", ".tiff", ".parquet"}
)
_ANY_ENDING = re.compile(r"\.\w{1,8}", re.ASCII)
_WANTED = "Give Label Studio's own export as JSON or JSON_MIN: one .json file, not packed."


def export_file_of(source: str) -> Path | None:
    """The export file that is meant; None where it is a project's id or title.

    A title may hold dots and slashes. So what names a file that is there, or looks like the path of
    one, is never looked for in Label Studio.

    Raises:
        FileFormatError: A file is meant and is not there, or is none of an export.
    """
    path = Path(source)
    if _is_file(path):
        if path.suffix.lower() == ".json":
            if is_packed(path):
                raise FileFormatError(f"The file {source} is packed.", remedy=_WANTED)
            return path
        raise FileFormatError(
            f"The file {source} is there, but is no .json file.",
            remedy=f"{_WANTED} If a project is meant, give its id.",
        )
    if is_folder(path) and (_has_separator(source) or path.suffix.lower() == ".json"):
        raise folder_error(source)
    if path.suffix.lower() == ".json" or _looks_like_a_path(source):
        raise FileFormatError(
            f"There is no file {source}.",
            remedy="Correct the path. If a project is meant, give its id.",
        )
    return None


def is_folder(source: str | Path) -> bool:
    """Whether a project's title is a folder's name too, as after an export into it."""
    try:
        return Path(source).is_dir()
    except (OSError, ValueError):  # a title longer than a file name, or with a NUL
        return False


def folder_error(source: str) -> FileFormatError:
    """What to say of a folder that is no project."""
    return FileFormatError(
        f"{source} is a folder, and an export of Label Studio is one file.", remedy=_WANTED
    )


def _looks_like_a_path(source: str) -> bool:
    path = Path(source)
    if path.suffix.lower() in _OF_FILES:
        return True
    if not _has_separator(source):
        return False
    is_rooted = source.startswith(("./", "../", "~", ".\\", "..\\")) or path.is_absolute()
    # Of "MRI / CT" neither holds.
    return bool(is_rooted or _ANY_ENDING.fullmatch(path.suffix) or is_folder(path.parent))


def _has_separator(source: str) -> bool:
    return "/" in source or "\\" in source


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # as above
        return False
