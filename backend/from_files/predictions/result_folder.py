"""What lies in a folder of predictions, and of which images: nothing of anybody else is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from backend.from_files.predictions.inputs import ImageInput
from backend.from_files.predictions.predicting import REPORT
from converters.bookkeeping.files import read_json
from converters.bookkeeping.work_index import WorkIndex
from domain.annotation import LeftOut
from domain.errors import FileFormatError, ImageError
from domain.text import counted

JOB = "predict"
"""What is done in the folder, for its index and report."""

MASKS = (".png", ".nii.gz")

_HALF_WRITTEN = re.compile(
    r"\..+\.(png|nii\.gz|json|csv|txt)\.[a-z0-9_]{8}\.(part|tmp)", re.IGNORECASE
)
"""What a call that was killed leaves of the file that it was writing."""

_CONTENT, _LIES = "content", "lies"
"""Of a record: hash of what the image's files hold, and where the first of them lies, quoted."""


class ResultFolder:
    """The predictions in a folder, each beside what it was made from.

    Args:
        index: Of the folder.
        out: The folder.
        made_by: Of the model and the options; without spaces.
    """

    def __init__(self, index: WorkIndex, out: Path, made_by: str) -> None:
        self._index, self._out, self._made_by = index, out, made_by

    def check(self, images: Sequence[ImageInput], tables: Iterable[str]) -> None:
        """What must be so before anything is written.

        Args:
            images: All that are to be predicted.
            tables: Names of the files about all images.

        Raises:
            FileFormatError: The folder has files of such names that nobody here has written; or
                masks of other images that were predicted otherwise: integers of several meanings
                would lie side by side.
        """
        n_done, n_left_out, _ = self._index.counts()
        if not (n_done or n_left_out or self._is_written_here()):
            masks = (f"{image.stem}{ending}" for image in images for ending in MASKS)
            for name in (*tables, *masks):
                if os.path.lexists(self._out / name):
                    raise FileFormatError(
                        f"{self._out} has a file {name} that nnloop predict has not written.",
                        remedy="Nothing is written over it: give --out a folder of its own.",
                    )
        names = {image.name for image in images}
        otherwise = [
            key
            for key, stamp, record in self._index.unseen()
            if record is not None
            and key not in names
            and _maker(stamp) != self._made_by
            and _is_there(record)
        ]
        if otherwise:
            raise FileFormatError(
                f"{self._out} has masks of {counted(len(otherwise), 'other image')}, as of "
                f"{otherwise[0]}, by another model or with other options.",
                remedy="Name those images too, or give --out another folder.",
            )

    def tidy(self) -> None:
        """Removes files that a call left half written; nobody else writes here now."""
        for folder, _, files in os.walk(self._out):
            for name in files:
                if _HALF_WRITTEN.fullmatch(name):
                    Path(folder, name).unlink(missing_ok=True)

    def _is_written_here(self) -> bool:
        """Whether an earlier call came to its end here, also one without any image."""
        try:
            return bool(read_json(self._out / REPORT).get("format") == JOB)
        except (OSError, ValueError, AttributeError):
            return False

    def is_current(self, image: ImageInput, stamp: str) -> bool:
        """Whether an image was predicted as it is now, wherever its file lay then.

        Args:
            image: Which.
            stamp: Its own, as it is now.

        Raises:
            ImageError: Another file is called so too, and its mask is there.
            OSError: Its file can't be read.
        """
        made = f"{self._made_by} {stamp}"
        if self._index.is_current(image.name, made):
            return True
        record = self._index.record(image.name)
        if record is None:
            return False
        if record.get(_LIES) not in (None, _quoted(image.path)) and _is_there(record):
            raise ImageError(
                0,
                "same_name",
                f"{_path_of(record)} is called so too, and its mask is in {self._out}.",
                remedy="Predict them into two folders, or name the folder above both.",
            )
        before = self._index.stamp_of(image.name)
        if _maker(before) != self._made_by or record.get(_CONTENT) != image.content_hash():
            return False
        # The same picture, copied, moved or put back.
        self._index.renew(image.name, made, {**record, _LIES: _quoted(image.path)})
        return self._index.is_current(image.name, made)

    def claim(self, image: ImageInput, files_of: Callable[[str], Collection[str]]) -> str:
        """What an image's files are called; from now on they are its own.

        Args:
            image: Which.
            files_of: From such a name to the files, relative to the folder.

        Raises:
            ImageError: One of them is there already and is somebody else's.
        """
        fallback = f"{image.stem}_{image.ending.lstrip('.').lower()}"
        stem = self._index.name_for(image.name, image.stem, fallback)
        taken = self._index.begin(image.name, files_of(stem))
        if taken is not None:
            raise ImageError(
                0,
                "file_in_the_way",
                f"{self._out / taken} is there, and is not of this image: it stays as it is.",
                remedy="Move it away, or give --out another folder.",
            )
        return stem

    def done(
        self,
        image: ImageInput,
        stamp: str,
        content: str,
        files: Sequence[str],
        record: dict[str, Any],
        notes: Sequence[LeftOut] = (),
    ) -> None:
        """Keeps what was made of an image; stamp and content are those before it was read."""
        about = {_CONTENT: content, _LIES: _quoted(image.path)}
        made = f"{self._made_by} {stamp}"
        self._index.done(image.name, made, files, {**record, **about}, notes)

    def forget_gone(self, names: Collection[str], unreachable: Iterable[Path]) -> int:
        """Removes what was made of images that are not there any more; of how many.

        Args:
            names: All images that are there now.
            unreachable: Folders without any image: they may lie on a disk that is away.
        """
        away = [folder.absolute() for folder in unreachable]
        n = 0
        for key, _, record in self._index.unseen():
            if key in names:
                continue
            path = None if record is None else _path_of(record)
            if path is not None and (path.exists() or any(f in path.parents for f in away)):
                continue
            self._index.remove(key)
            n += record is not None
        return n


def _maker(stamp: str) -> str:
    return stamp.partition(" ")[0]


def _quoted(path: Path) -> str:
    return quote(os.fsencode(path.absolute()))


def _path_of(record: dict[str, Any]) -> Path | None:
    lies = record.get(_LIES)
    return None if lies is None else Path(os.fsdecode(unquote_to_bytes(lies)))


def _is_there(record: dict[str, Any]) -> bool:
    path = _path_of(record)
    return path is not None and path.exists()
