"""Images of tasks: where their pixels come from, and what their files are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, UnidentifiedImageError

from converters.images import MAX_PIXELS, Pixels, read_image
from converters.orientation import turned_size_hw
from domain.annotation import Task
from domain.errors import ImageError

MAX_FILE_BYTES = 512 * 1024 * 1024
"""A larger image file is refused unread."""

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts this before the name of an uploaded file."""


class TaskImages(Protocol):
    """Where an export finds the pixels of a task's image, or of its images as channels."""

    def stamp(self, task: Task) -> str:
        """A text that changes when one of the images does; "" when the first is not there."""

    def size_hw(self, task: Task) -> tuple[int, int] | None:
        """(height, width) in pixels as shown; None when that would need the whole image.

        Of several channels that of the first.

        Raises:
            ImageError: It is no image.
        """

    def read(self, task: Task, key: str) -> Pixels:
        """The image in the data field ``key``, as ``converters.images.read_image`` gives it.

        Raises:
            ImageError: It is missing, refused or no image.
        """


class NoImages:
    """An export file alone: there are no pixels."""

    def stamp(self, task: Task) -> str:
        """Always empty."""
        return ""

    def size_hw(self, task: Task) -> tuple[int, int] | None:
        """Always None."""
        return None

    def read(self, task: Task, key: str) -> Pixels:
        """Raises ImageError."""
        raise ImageError(
            task.id,
            "image_missing",
            "its image is needed, and no folder of images was given.",
            remedy="Give the folder with --images.",
        )


class FolderImages:
    """Images in a folder, found by the file name in the task's data.

    Args:
        folder: Is searched for the path the data name, and for its end; not deeper.
        image_keys: The task data fields that name the images of its channels, at least one.
    """

    def __init__(self, folder: Path, image_keys: Sequence[str]) -> None:
        self._folder, self._image_keys = folder, tuple(image_keys)

    def stamp(self, task: Task) -> str:
        """Path, size and time of the files."""
        paths = [self._find(task, key) for key in self._image_keys]
        return " ".join(map(_stamp_of, paths)) if paths[0] is not None else ""

    def size_hw(self, task: Task) -> tuple[int, int] | None:
        """From the file's header; None when there is no file."""
        path = self._find(task, self._image_keys[0])
        return None if path is None else image_size_hw(path, task.id)

    def read(self, task: Task, key: str) -> Pixels:
        """Reads the file."""
        path = self._find(task, key)
        if path is None:
            raise ImageError(
                task.id,
                "image_missing",
                f"its image {image_name(task, key)!r} is not in {self._folder}.",
                remedy="Copy it there under that name.",
            )
        return read_image_file(path, task.id)

    def _find(self, task: Task, key: str) -> Path | None:
        value = task.data.get(key)
        if not isinstance(value, str):
            return None
        for name in _paths_of(value):
            path = self._folder / name
            if path.is_file():
                return path
        return None


def _stamp_of(path: Path | None) -> str:
    if path is None:
        return "-"
    status = path.stat()
    return f"{path.name} {status.st_size} {status.st_mtime_ns}"


def read_image_file(path: Path, task_id: int) -> Pixels:
    """Decodes an image file as ``read_image`` does; ImageError when it can't be read."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ImageError(
                task_id,
                "too_large",
                f"the file {path.name} has {size:,} bytes; the limit is {MAX_FILE_BYTES:,}.",
                remedy="Store a smaller image.",
            )
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(
            task_id,
            "image_missing",
            f"the image {path} can't be read: {error.strerror}.",
            remedy="Check the path and its rights.",
        ) from error
    return read_image(data, task_id)


def image_size_hw(path: Path, task_id: int) -> tuple[int, int]:
    """(height, width) in pixels turned as browsers turn it, from the file's header alone.

    Raises:
        ImageError: It is no image, or has more than ``MAX_PIXELS``.
    """
    try:
        with Image.open(path) as image:
            height, width = turned_size_hw(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise ImageError(
            task_id,
            "not_an_image",
            f"the file {path.name} can't be read as an image.",
            remedy="Replace it by a PNG, JPEG, TIFF, BMP or WebP image.",
        ) from error
    except Image.DecompressionBombError:
        width = height = MAX_PIXELS
    if width * height > MAX_PIXELS:
        raise ImageError(
            task_id,
            "too_large",
            f"the file {path.name} has more than {MAX_PIXELS:,} pixels.",
            remedy="Scale it down or cut it into tiles.",
        )
    return height, width


def image_name(task: Task, image_key: str) -> str:
    """The file name of a task's image without Label Studio's upload prefix; "" if it has none.

    Takes a path, a URL, ``/data/local-files/?d=...`` or a storage address.
    """
    value = task.data.get(image_key)
    if not isinstance(value, str) or value.startswith("data:"):
        return ""
    name = PurePosixPath(_path_of(value)).name
    if "/data/upload/" in value or value.startswith("upload/"):
        name = _UPLOAD_PREFIX.sub("", name)
    return name


def file_stem(name: str) -> str:
    """A file name's stem with nothing in it that a file system or a shell trips over.

    >>> file_stem("scan 3 (left).png")
    'scan_3_left'
    """
    stem = PurePosixPath(name).stem if name else ""
    return re.sub(r"[^\w.-]+", "_", stem).strip("._")[:120]


def _paths_of(value: str) -> Iterator[str]:
    """Where the image may lie below a folder, likeliest first; never above the folder."""
    parts = [p for p in PurePosixPath(_path_of(value)).parts if p not in ("/", "..", ".", "")]
    for start in range(len(parts)):
        yield "/".join(parts[start:])
    if parts and _UPLOAD_PREFIX.match(parts[-1]):
        yield _UPLOAD_PREFIX.sub("", parts[-1])


def _path_of(value: str) -> str:
    """The path in an address, with forward slashes and without a NUL, which no path may hold."""
    if value.startswith("data:"):
        return ""
    try:
        parts = urlsplit(value)
        local = parse_qs(parts.query).get("d") if "local-files" in parts.path else None
        # Of a bare file name, '#' and '?' are part of the name.
        is_address = bool(parts.netloc) or value.startswith("/data/")
        path = local[0] if local else unquote(parts.path if is_address else value)
    except ValueError:  # a malformed host, as in http://[a
        path = value
    return path.replace("\\", "/").replace("\0", "")[:1000]
