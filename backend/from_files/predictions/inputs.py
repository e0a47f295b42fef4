"""The images that a person wants predicted: files, and folders with all that is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from converters.bookkeeping.files import exact_stamp_of
from converters.images.image_pixels import UNREADABLE, read_picture
from converters.images.medical_pixels import (
    DICOM,
    HEAD_BYTES,
    MEDICAL_ENDINGS,
    MedicalImage,
    medical_kind,
    n_pictures,
)
from converters.images.of_tasks import read_image_bytes
from converters.imports.find import IMAGE_ENDINGS
from converters.masks.channel_files import channel_files, is_further_channel
from converters.masks.mask_folders import FIRST_CHANNEL
from domain.annotation import LeftOut
from domain.errors import FileFormatError, ImageError

_OF_SEVERAL = (".tif", ".tiff", ".gif", ".webp", ".png")


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image file.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, with "/": also what it is called.
        others: Files of its further channels, where they are files of their own; None: not there.
    """

    path: Path
    name: str
    others: tuple[Path | None, ...] = ()

    @property
    def stem(self) -> str:
        """``name`` without its ending, and without ``_0000``: what files about it are called."""
        stem = self.name[: len(self.name) - len(self.ending)]
        return stem.removesuffix(FIRST_CHANNEL) if self.others else stem

    @property
    def ending(self) -> str:
        """Of the file, with its dot, as it stands there."""
        known = next((e for e in MEDICAL_ENDINGS if self.name.lower().endswith(e)), "")
        return self.name[-len(known) :] if known else self.path.suffix

    @property
    def stamp(self) -> str:
        """Changes when one of its files does, or others take their place.

        Raises:
            OSError: One is gone.
        """
        return " ".join("-" if path is None else _stamp(path) for path in self._paths)

    def content_hash(self) -> str:
        """Of what is in its files: the same wherever they lie, and whenever they were written.

        Raises:
            OSError: One can't be read.
        """
        digest = hashlib.blake2b(digest_size=16)
        for path in self._paths:
            if path is None:
                digest.update(b"-")
                continue
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        return digest.hexdigest()

    @property
    def _paths(self) -> tuple[Path | None, ...]:
        return (self.path, *self.others)

    @property
    def channel_paths(self) -> list[Path]:
        """The files of its channels, of one alone its own.

        Raises:
            ImageError: One is not there.
        """
        found = [path for path in self._paths if path is not None]
        if len(found) < len(self._paths):
            number = self._paths.index(None)
            raise ImageError(
                0,
                "image_missing",
                f"the model takes {len(self._paths)} channels, and there is no file "
                f"{self.stem}_{number:04d} beside it.",
                remedy="Call the files of an image NAME_0000, NAME_0001, ..., as for training.",
            )
        return found

    def n_slices(self) -> int:
        """How many pictures are in it: 1, but for NIfTI and DICOM."""
        return n_pictures(self.path)

    def read(self) -> list[MedicalImage]:
        """Its pixels, and the size of a pixel where the file says it; of every channel.

        Raises:
            ImageError: It can't be read.
        """
        return [read_picture(read_image_bytes(path, 0), 0) for path in self.channel_paths]


def joined(images: Iterable[ImageInput], n: int) -> Iterator[ImageInput]:
    """Images whose channels are files of their own, as nnU-Net calls them (``NAME_0000``, ...).

    Args:
        images: Files.
        n: Files of an image; 0: three where any of them has three, else one.
    """
    if n == 0:
        images = list(images)
        has_three = any(None not in channel_files(image.path, 3) for image in images)
        n = 3 if has_three else 1
    for image in images:
        if n == 1:
            yield image
        elif not is_further_channel(image.path, n):
            yield replace(image, others=tuple(channel_files(image.path, n)[1:]))


def find_images(sources: Iterable[Path], beside: Path) -> Iterator[ImageInput]:
    """The images of files and folders, folders in order of their names and with all below them.

    Args:
        sources: Files are taken whatever they are called; of folders what ends like an image.
        beside: Folder of results: nothing below it is an image to predict.

    Raises:
        FileFormatError: There is no such file or folder.
    """
    results = beside.resolve()
    for source in sources:
        if source.is_file():
            yield ImageInput(source, source.name)
        elif source.is_dir():
            for path in sorted(_files_below(source, results)):
                if path.is_file() and _is_image(path):
                    yield ImageInput(path, path.relative_to(source).as_posix())
        else:
            raise FileFormatError(
                f"There is no file or folder {source}.", remedy="Correct the path."
            )


def namesake(image: ImageInput, paths: dict[str, Path]) -> Path | None:
    """Another file that is called so too, as in another folder: their masks would be one file.

    Args:
        image: Which.
        paths: Name -> the file that has it; brought up to date.
    """
    first = paths.setdefault(image.name, image.path)
    return None if first == image.path else first


def further_pictures(image: ImageInput) -> list[LeftOut]:
    """A remark where a picture file holds more than one: the first is taken, as browsers do."""
    if not image.name.lower().endswith(_OF_SEVERAL):
        return []
    try:
        with Image.open(image.path) as opened:
            n = int(getattr(opened, "n_frames", 1))
    except UNREADABLE:
        return []
    said = f"{image.name} holds {n} pictures; the first is predicted, the others are not."
    return [LeftOut(0, "first_picture", said)] if n > 1 else []


def settled(images: Iterable[ImageInput], seen: dict[str, str]) -> Iterator[ImageInput]:
    """Of images those that have not changed since the last look: no file that still grows.

    Args:
        images: Those that are there now.
        seen: Name -> stamp at the last look; brought up to date.
    """
    for image in images:
        try:
            now = image.stamp
        except OSError:
            continue  # gone again
        if seen.get(image.name) == now:
            yield image
        seen[image.name] = now


def _files_below(folder: Path, results: Path) -> Iterator[Path]:
    """Files of a folder and of those below it, links too; each folder once, hidden ones never."""
    met: set[Path] = {results}
    for at, below, files in os.walk(folder, followlinks=True):
        here = Path(at).resolve()
        if here in met or results in here.parents:
            below.clear()
            continue
        met.add(here)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(at, name) for name in files if not name.startswith("."))


def _stamp(path: Path) -> str:
    return f"{quote(os.fsencode(path.absolute()))} {exact_stamp_of(path)}"


def _is_image(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith((*IMAGE_ENDINGS, *MEDICAL_ENDINGS)):
        return True
    if path.suffix and not path.suffix[1:].isdigit():  # DICOM's are called IM000001, or 1.2.840.7
        return False
    try:
        with path.open("rb") as file:
            return medical_kind(file.read(HEAD_BYTES)) == DICOM
    except OSError:
        return False
