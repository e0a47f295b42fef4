"""The images that a person wants predicted: files, and folders with all that is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.bookkeeping.files import stamp_of
from converters.images.image_pixels import read_picture
from converters.images.medical_pixels import (
    DICOM,
    HEAD_BYTES,
    MEDICAL_ENDINGS,
    MedicalImage,
    medical_kind,
)
from converters.images.nifti_slices import n_slices
from converters.images.of_tasks import read_image_bytes
from converters.imports.find import IMAGE_ENDINGS
from domain.errors import FileFormatError


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image file.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, with "/": also what it is called.
    """

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """``name`` without its ending: what files about it are called."""
        return self.name[: len(self.name) - len(self.ending)]

    @property
    def ending(self) -> str:
        """Of the file, with its dot, as it stands there."""
        known = next((e for e in MEDICAL_ENDINGS if self.name.lower().endswith(e)), "")
        return self.name[-len(known) :] if known else self.path.suffix

    @property
    def stamp(self) -> str:
        """Changes when the file does."""
        return stamp_of(self.path)

    def n_slices(self) -> int:
        """How many pictures are in it: 1, but for NIfTI."""
        return n_slices(self.path) if self.ending.lower().startswith(".nii") else 1

    def read(self) -> MedicalImage:
        """Its pixels, and the size of a pixel where the file says it.

        Raises:
            ImageError: It can't be read.
        """
        return read_picture(read_image_bytes(self.path, 0), 0)


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
            for path in sorted(source.rglob("*")):
                below = path.relative_to(source)
                if (
                    not any(part.startswith(".") for part in below.parts)
                    and results not in path.resolve().parents
                    and path.is_file()
                    and _is_image(path)
                ):
                    yield ImageInput(path, below.as_posix())
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
