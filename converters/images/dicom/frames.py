"""DICOM files of one frame or several, as slices one behind the other."""

from __future__ import annotations

import math
import mmap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.images.dicom.lengths import promises_too_much
from converters.images.dicom.sequences import spacing_in_sequences
from converters.images.nifti_axes import NiftiAxes
from converters.images.nifti_slices import MAX_FILE_BYTES, MAX_STACK_BYTES, NiftiStack
from converters.images.pixel_spacing import spacing_from
from domain.errors import FileFormatError
from domain.geometry import MAX_PIXELS

_SPACING_TAGS = ("0028|0030", "0018|1164", "0018|2010")
"""Row and column of a pixel: in the patient, at the detector of an X-ray, on a scanned film. The
first that is there counts: GDCM takes one of them by the kind of image, and 1 mm where the file has
another one."""

_UPRIGHT = (-1.0, -1.0, 1.0)
"""Columns to the patient's left, rows to the back: NIfTI's axes point right, front and head."""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """What a file holds.

    Attributes:
        array: (frame, height, width) or (frame, height, width, 3), in the numbers of the file.
        spacing_mm: (vertical, horizontal) size of a pixel; None where the file does not say it.
    """

    array: npt.NDArray[Any]
    spacing_mm: tuple[float, float] | None


def n_frames(path: Path) -> tuple[int, int, int]:
    """(frames, height, width) that a file says it has, before its pixels are read.

    Raises:
        FileFormatError: It is damaged, or of a kind that can't be read.
    """
    return _size_of(_reader(path))


def read_frames(path: Path) -> Frames:
    """All frames of a file; they are in memory together.

    Raises:
        FileFormatError: It is damaged, too large, or of a kind that can't be read.
    """
    reader = _reader(path)
    n, height, width = _size_of(reader)
    n_bytes = n * height * width * _pixel_bytes(reader)
    if path.stat().st_size > MAX_FILE_BYTES or n_bytes > MAX_STACK_BYTES:
        raise FileFormatError(
            f"{path.name} has {n} frames of {width} x {height} pixels, which are too many.",
            remedy="Write its frames to several files.",
        )
    if height * width > MAX_PIXELS:
        raise FileFormatError(f"{path.name} has more than {MAX_PIXELS:,} pixels.")
    try:
        image: Any = reader.Execute()
    except RuntimeError as error:
        raise _damaged(path) from error
    from SimpleITK import GetArrayFromImage

    array = np.asarray(GetArrayFromImage(image))
    if image.GetNumberOfComponentsPerPixel() > 1:
        # Colours are an axis behind those of the image; a fourth one is transparency.
        array = array.reshape(n, height, width, array.shape[-1])[..., :3]
    else:
        array = array.reshape(n, height, width)
    # Where the lowest value is white (MONOCHROME1), SimpleITK has turned that round already.
    return Frames(array, _spacing_mm(image) or spacing_in_sequences(path))


def _spacing_mm(image: Any) -> tuple[float, float] | None:
    """(vertical, horizontal) size of a pixel; None where the file does not say it, or says 0."""
    keys = set(image.GetMetaDataKeys())
    for tag in _SPACING_TAGS:
        if tag not in keys:
            continue
        with suppress(ValueError):
            return spacing_from(str(image.GetMetaData(tag)))
    return None


def frames_as_stack(frames: Frames) -> NiftiStack:
    """Frames along the third axis; what is written of them lies as ITK's programs would write it.

    Args:
        frames: Of a file.

    Returns:
        ``array`` is (width, height, frame), in colour (width, height, frame, 3).
    """
    import nibabel

    n, height, width = frames.array.shape[:3]
    vertical, horizontal = frames.spacing_mm or (1.0, 1.0)
    sizes = np.array([horizontal, vertical, 1.0])
    affine = np.diag([*(sizes * _UPRIGHT), 1.0])
    lies = nibabel.Nifti1Image(np.zeros((width, height, n), np.uint8), affine)
    lies.header.set_xyzt_units("mm" if frames.spacing_mm else "unknown")
    array = frames.array.swapaxes(0, 2)
    return NiftiStack(array, frames.spacing_mm, NiftiAxes(affine[:3, :3]), lies.header)


def _size_of(reader: Any) -> tuple[int, int, int]:
    width, height, *rest = (int(size) for size in reader.GetSize())
    return math.prod(rest), height, width


def _pixel_bytes(reader: Any) -> int:
    """Of all components."""
    from SimpleITK import Image

    n = int(reader.GetNumberOfComponents())
    return n * int(Image([1, 1], reader.GetPixelID(), n).GetSizeOfPixelComponent())


def _reader(path: Path) -> Any:
    # Imported here: it takes a moment, which pictures should not cost.
    import SimpleITK

    if _promises_too_much(path):
        raise _damaged(path)
    reader = SimpleITK.ImageFileReader()
    # It goes by the ending otherwise, and DICOM's files often have none.
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(path) from error
    return reader


def _promises_too_much(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:  # what is the matter is told when it is read
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return promises_too_much(data)
    return False


def _damaged(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path.name} is a damaged DICOM image, or of a kind that can't be read.",
        remedy="Replace it by a whole one, or by a PNG of it.",
    )
