"""DICOM and NIfTI -> pixels: files with one picture each, and the size of its pixels."""

from __future__ import annotations

import re
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.images.dicom.frames import frames_as_stack, n_frames, read_frames
from converters.images.nifti_slices import NiftiStack, load_nifti, load_stack, n_slices
from domain.errors import FileFormatError, ImageError
from domain.geometry import MAX_PIXELS, Pixels
from domain.text import one_line

DICOM, NIFTI = "DICOM", "NIfTI"

HEAD_BYTES = 4096
"""Of a file that tell what it is; a packed one has more in them than it needs."""

MEDICAL_ENDINGS = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima")
"""DICOM's files often have no ending at all: those are told by what they hold."""

_DICOM_AT, _DICOM_MARK = 128, b"DICM"
_BARE_DICOM = re.compile(rb"[\x02\x08]\x00..(?:[A-Z]{2}..|[\x00-\xff]\x00\x00\x00)", re.DOTALL)
"""How a file begins that has no preamble, as old scanners and archives write them: a tag of the
first groups, then its kind and length, or its length alone."""
_NIFTI_AT, _NIFTI_MARKS = 344, (b"n+1\0", b"ni1\0")
_GZIP = b"\x1f\x8b"
_MOST = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True, eq=False)
class MedicalImage:
    """A picture as viewers show it.

    Attributes:
        pixels: (height, width) or (height, width, 3); uint8 or uint16. Other numbers are shifted,
            and stretched where 16 bits don't hold them: networks see each image by its own mean
            and spread.
        spacing_mm: (vertical, horizontal) size of a pixel; None where the file does not say it.
    """

    pixels: Pixels
    spacing_mm: tuple[float, float] | None = None


def medical_kind(start: bytes) -> str:
    """``DICOM`` or ``NIfTI`` by the first ``HEAD_BYTES`` of a file; "" for neither."""
    if start[_DICOM_AT : _DICOM_AT + 4] == _DICOM_MARK or _BARE_DICOM.match(start):
        return DICOM
    head = start
    if start.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(start, HEAD_BYTES)
        except zlib.error:
            return ""
    return NIFTI if head[_NIFTI_AT : _NIFTI_AT + 4] in _NIFTI_MARKS else ""


def read_medical(data: bytes, task_id: int) -> MedicalImage:
    """Decodes a file of ``medical_kind``.

    Args:
        data: The file.
        task_id: Named in errors.

    Raises:
        ImageError: ``not_an_image`` (damaged), ``several_images`` (frames or slices),
            ``too_large``, or ``unsupported_pixels``.
    """
    if medical_kind(data) == DICOM:
        return _dicom(data, task_id)
    return _nifti(data, task_id)


def load_slices(path: Path) -> NiftiStack:
    """All slices of a NIfTI file, or all frames of a DICOM file; they are in memory together.

    Raises:
        FileFormatError: It is neither, damaged or too large.
    """
    return frames_as_stack(read_frames(path)) if _kind_of_file(path) == DICOM else load_stack(path)


def n_pictures(path: Path) -> int:
    """How many slices or frames a file says it has; 1 of a picture, and where it can't be read."""
    kind = _kind_of_file(path)
    if kind == NIFTI:
        return n_slices(path)
    try:
        return n_frames(path)[0] if kind == DICOM else 1
    except FileFormatError:  # whoever reads it tells
        return 1


def _kind_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return medical_kind(file.read(HEAD_BYTES))
    except OSError:
        return ""


def _dicom(data: bytes, task_id: int) -> MedicalImage:
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        path = Path(folder) / "image.dcm"
        path.write_bytes(data)
        try:
            n, *size_hw = n_frames(path)
            _check((size_hw[0], size_hw[1]), n, task_id)
            found = read_frames(path)
        except FileFormatError as error:
            raise ImageError(
                task_id,
                "not_an_image",
                f"its file{str(error).removeprefix(path.name)}",
                remedy=error.remedy,
            ) from error
    return MedicalImage(as_pixels(found.array[0], task_id), found.spacing_mm)


def _nifti(data: bytes, task_id: int) -> MedicalImage:
    ending = ".nii.gz" if data.startswith(_GZIP) else ".nii"
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        path = Path(folder) / f"image{ending}"
        path.write_bytes(data)
        try:
            found = load_nifti(path)
        except FileFormatError as error:
            is_several = "one slice" in str(error)
            raise ImageError(
                task_id,
                "several_images" if is_several else "not_an_image",
                f"its file can't be read: {one_line(error).removeprefix(path.name)}",
                remedy=error.remedy,
            ) from error
    return MedicalImage(as_pixels(found.shown, task_id), found.spacing_mm)


def as_pixels(array: npt.NDArray[Any], task_id: int) -> Pixels:
    """Whole numbers that fit as they are; others shifted to 0, and stretched where they must be.

    Args:
        array: Any numbers.
        task_id: Named in errors.

    Returns:
        Of the same shape; uint8 or uint16.

    Raises:
        ImageError: ``unsupported_pixels``: some are no numbers.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "buif":
        raise ImageError(
            task_id,
            "unsupported_pixels",
            f"its pixels are of the type {array.dtype}.",
            remedy="Convert it to 8 or 16 bits per channel.",
        )
    wide = array.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ImageError(
            task_id,
            "unsupported_pixels",
            "some of its pixels are no number.",
            remedy="Convert it to 8 or 16 bits per channel.",
        )
    low, high = wide.min(initial=0.0), wide.max(initial=0.0)
    is_whole = array.dtype.kind != "f" or bool((wide == np.round(wide)).all())
    if low < 0:
        wide, high = wide - low, high - low
    if not is_whole or high > _MOST:
        wide = wide * (_MOST / high if high else 0.0)
    return np.round(wide).astype(np.uint16)


def _check(size_hw: tuple[int, int], n: int, task_id: int) -> None:
    if n != 1:
        raise ImageError(
            task_id,
            "several_images",
            f"its file has {n} frames.",
            remedy="Write every frame to a file of its own. From files it can be trained on whole, "
            "with masks in NIfTI that have a slice for each frame.",
        )
    if size_hw[0] * size_hw[1] > MAX_PIXELS:
        raise ImageError(
            task_id,
            "too_large",
            f"it has {size_hw[1]} x {size_hw[0]} pixels; the limit is {MAX_PIXELS:,}.",
            remedy="Scale it down or cut it into tiles.",
        )
