"""Images of tasks: where their pixels come from, and what their files are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from converters.addresses.image_address import (
    UPLOAD_PREFIX,
    identity_of,
    is_upload,
    path_of,
    storage_path_of,
)
from converters.addresses.pages import first_page
from converters.bookkeeping.files import stamp_of
from converters.images.image_folder import FolderOfImages, FoundFile
from converters.images.image_pixels import UNREADABLE, read_image, read_picture
from converters.images.medical_pixels import HEAD_BYTES, medical_kind
from converters.images.nifti_slices import MAX_FILE_BYTES
from converters.images.orientation import turned_size_hw
from domain.annotation import Task
from domain.errors import ImageError
from domain.geometry import MAX_PIXELS, Pixels
from domain.text import shown

_MAX_STEM = 120
_MAX_STEM_BYTES = 200
"""Of the 255 that a name may have."""


class TaskImages(Protocol):
    """Where an export finds the pixels of a task's image, or of its images as channels."""

    def stamp(self, task: Task) -> str:
        """A text that changes when one of the images does; "" when the first is not there."""

    def doubtful(self) -> Iterator[ImageError]:
        """Tasks asked for so far whose image is a file that may be another task's as well."""

    def size_hw(self, task: Task) -> tuple[int, int] | None:
        """(height, width) in pixels as shown; None when that would need the whole image.

        Of several channels that of the first.

        Raises:
            ImageError: It is no image.
        """

    def read(self, task: Task, key: str) -> Pixels:
        """The image in the data field ``key``, as ``image_pixels.read_image`` gives it.

        Raises:
            ImageError: It is missing, refused or no image.
        """

    def spacing_mm(self, task: Task) -> tuple[float, float] | None:
        """(vertical, horizontal) size of a pixel of the first image; None where no file says it."""

    def missing(self, task: Task) -> ImageError | None:
        """Why the first image is not there; None where it is, or nobody said where images are."""


class NoImages:
    """An export file alone: there are no pixels."""

    def stamp(self, task: Task) -> str:
        """Always empty."""
        return ""

    def doubtful(self) -> Iterator[ImageError]:
        """None."""
        yield from ()

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

    def spacing_mm(self, task: Task) -> tuple[float, float] | None:
        """Always None."""
        return None

    def missing(self, task: Task) -> ImageError | None:
        """Always None."""
        return None


class FolderImages:
    """Images in a folder, found by the file name in the task's data.

    Args:
        folder: Is searched for the path the data name, and for its end; not deeper.
        image_keys: The task data fields that name the images of its channels, at least one.
        uploaded_as: Another name that a file may have been uploaded under.
    """

    def __init__(
        self,
        folder: Path,
        image_keys: Sequence[str],
        uploaded_as: Callable[[str], str] = str,
    ) -> None:
        self._files, self._image_keys = FolderOfImages(folder, uploaded_as), tuple(image_keys)
        self._users: dict[Path, dict[str, list[int]]] = {}
        self._spacing_mm: tuple[str, tuple[float, float] | None] = ("", None)

    def doubtful(self) -> Iterator[ImageError]:
        """Tasks whose images have several addresses, and are one file here.

        As in a flat folder of a/1.png and b/1.png: which of the two it is can't be known.
        """
        for path, users in self._users.items():
            for address, task_ids in users.items() if len(users) > 1 else ():
                other, (others, *_) = next(row for row in users.items() if row[0] != address)
                for task_id in task_ids:
                    yield ImageError(
                        task_id,
                        "image_ambiguous",
                        f"its image {address!r} and that of task {others}, {other!r}, are both "
                        f"{path.name!r} in {self._files.folder}.",
                        remedy="Keep the images in the folders that their addresses name, and give "
                        "the folder above them.",
                    )

    def stamp(self, task: Task) -> str:
        """Path, size and time of the files."""
        paths = [self._find(task, key).path for key in self._image_keys]
        return " ".join(map(_stamp_of, paths)) if paths[0] is not None else ""

    def size_hw(self, task: Task) -> tuple[int, int] | None:
        """From the file's header; None when there is no file."""
        path = self._find(task, self._image_keys[0]).path
        return None if path is None else image_size_hw(path, task.id)

    def read(self, task: Task, key: str) -> Pixels:
        """Reads the file."""
        found = self._find(task, key)
        if found.path is None:
            raise self._why_missing(task, key, found)
        picture = read_picture(read_image_bytes(found.path, task.id), task.id)
        if key == self._image_keys[0]:
            self._spacing_mm = f"{found.path} {_stamp_of(found.path)}", picture.spacing_mm
        return picture.pixels

    def spacing_mm(self, task: Task) -> tuple[float, float] | None:
        """From the file; of a picture always None. One that was just read is not read again."""
        path = self._find(task, self._image_keys[0]).path
        try:
            if path is None or not is_medical(path):
                return None
            if self._spacing_mm[0] != f"{path} {_stamp_of(path)}":
                self.read(task, self._image_keys[0])
        except OSError:  # whoever reads it says what is the matter
            return None
        return self._spacing_mm[1]

    def missing(self, task: Task) -> ImageError | None:
        """Why there is no file of the first image."""
        key = self._image_keys[0]
        found = self._find(task, key)
        return self._why_missing(task, key, found) if found.path is None else None

    def _why_missing(self, task: Task, key: str, found: FoundFile) -> ImageError:
        name, folder = image_name(task, key), self._files.folder
        if not name:
            return ImageError(
                task.id,
                "image_missing",
                f"its data have no address of a file in {key!r}, but "
                f"{shown(task.data[key]) if key in task.data else 'no such field'}.",
                remedy="The labelling interface must name the field of the data that holds the "
                "image, and the field a path or an address.",
            )
        if found.rivals:
            rivals = ", ".join(map(repr, found.rivals))
            return ImageError(
                task.id,
                "image_ambiguous",
                f"its image {name!r} may be any of {rivals} in {folder}.",
                remedy="Keep one of them there, under the name that the task's data have.",
            )
        return ImageError(
            task.id,
            "image_missing",
            f"its image {name!r} is not in {folder}.",
            remedy="Copy it there under that name.",
        )

    def _find(self, task: Task, key: str) -> FoundFile:
        value = first_page(task.data.get(key))
        if not isinstance(value, str):
            return FoundFile()
        found = self._files.find(value)
        if found.path is not None:
            task_ids = self._users.setdefault(found.path, {}).setdefault(identity_of(value), [])
            if task_ids[-1:] != [task.id]:
                task_ids.append(task.id)
        return found


def _stamp_of(path: Path | None) -> str:
    if path is None:
        return "-"
    return f"{path.name} {stamp_of(path)}"


def read_image_file(path: Path, task_id: int) -> Pixels:
    """Decodes an image file as ``read_image`` does; ImageError when it can't be read."""
    return read_image(read_image_bytes(path, task_id), task_id)


def read_image_bytes(path: Path, task_id: int) -> bytes:
    """An image file as it is; ImageError when it is too large or can't be read."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ImageError(
                task_id,
                "too_large",
                f"the file {path.name} has {size:,} bytes; the limit is {MAX_FILE_BYTES:,}.",
                remedy="Store a smaller image.",
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            task_id,
            "image_missing",
            f"the image {path} can't be read: {error.strerror}.",
            remedy="Check the path and its rights.",
        ) from error


def is_medical(path: Path) -> bool:
    """Whether a file is DICOM or NIfTI, by its first bytes; OSError when it can't be read."""
    with path.open("rb") as file:
        return bool(medical_kind(file.read(HEAD_BYTES)))


def image_size_hw(path: Path, task_id: int) -> tuple[int, int]:
    """(height, width) in pixels turned as browsers turn it, from the file's header alone.

    Of DICOM and NIfTI from all of it.

    Raises:
        ImageError: It is no image, or has more than ``MAX_PIXELS``.
    """
    try:
        if is_medical(path):
            pixels = read_image_file(path, task_id)
            return int(pixels.shape[0]), int(pixels.shape[1])
        with Image.open(path) as image:
            height, width = turned_size_hw(image)
    except Image.DecompressionBombError:
        width = height = MAX_PIXELS
    except UNREADABLE as error:
        raise ImageError(
            task_id,
            "not_an_image",
            f"the file {path.name} can't be read as an image.",
            remedy="Replace it by a PNG, JPEG, TIFF, BMP or WebP image.",
        ) from error
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
    value = first_page(task.data.get(image_key))
    if not isinstance(value, str):
        return ""
    name = unicodedata.normalize("NFC", PurePosixPath(path_of(value)).name)
    return UPLOAD_PREFIX.sub("", name) if is_upload(value) else name


def longer_names(task: Task, image_key: str) -> tuple[str, ...]:
    """Names that tell apart images whose ``image_name`` is one: the path, then with its host."""
    value = first_page(task.data.get(image_key))
    if not isinstance(value, str):
        return ()
    names = (path_of(value).lstrip("/"), storage_path_of(value))
    return tuple(unicodedata.normalize("NFC", name) for name in names if name)


def file_stem(name: str) -> str:
    """A file name's stem with nothing in it that a file system or a shell trips over.

    >>> file_stem("scan 3 (left).png"), file_stem("scan.nii.gz")
    ('scan_3_left', 'scan')
    """
    whole = name[: -len(".gz")] if name.lower().endswith(".nii.gz") else name
    stem = PurePosixPath(whole).stem if whole else ""
    plain = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", stem)).strip("._")[:_MAX_STEM]
    # File systems count bytes, and formats add to the stem.
    return plain.encode()[:_MAX_STEM_BYTES].decode(errors="ignore")
