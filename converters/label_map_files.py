"""Label maps in files: PNG, TIFF and BMP index masks, and NIfTI of one slice."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from converters.image_files import MAX_FILE_BYTES
from converters.images import MAX_PIXELS
from domain.errors import FileFormatError
from domain.geometry import LabelMap

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
NIFTI_SUFFIXES = (".nii.gz", ".nii")
SUFFIXES = PICTURE_SUFFIXES + NIFTI_SUFFIXES

WHITE = 255
"""What a mask of one class often holds instead of 1."""

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
"""Millimetres of a NIfTI length unit. Files without a unit mean millimetres, as every viewer
takes them, unless all sizes are 1: that is what is written when nothing is known."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabelMap:
    """A label map as its file has it.

    Attributes:
        label_map: (height, width) uint8.
        spacing_mm: (vertical, horizontal) size of a pixel; None where the file says nothing
            physical. The resolution of PNG and TIFF files is one of print, and not taken.
        axes: (3, 3) float64, NIfTI's directions and sizes of the voxel axes; None without.
    """

    label_map: LabelMap
    spacing_mm: tuple[float, float] | None = None
    axes: npt.NDArray[np.float64] | None = None


def stem_of(path: Path) -> str | None:
    """The file's name without its suffix; None when it is no kind of file a label map is in.

    >>> stem_of(Path("masks/scan_1.nii.gz"))
    'scan_1'
    """
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return path.name[: -len(suffix)]
    return None


def read_label_map(path: Path) -> StoredLabelMap:
    """Reads an index mask: 0 = background, k = class k.

    Grey and palette pictures are taken as they are (a palette's integer, not its colour), colour
    pictures whose channels are equal as grey. NIfTI needs one slice of whole numbers.

    Raises:
        FileFormatError: It is no such file, too large, or holds values beyond 0..255.
    """
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return _read_nifti(path)
    return StoredLabelMap(read_mask(path)[1])


def read_mask(path: Path) -> tuple[bytes, LabelMap]:
    """The bytes of a picture file, and its (height, width) uint8; raises as ``read_label_map``."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
        with Image.open(io.BytesIO(raw)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileFormatError(f"{path.name} has more than {MAX_PIXELS:,} pixels.")
            array = np.asarray(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        what = "is no image" if isinstance(error, UnidentifiedImageError) else "can't be read"
        raise FileFormatError(f"{path.name} {what} ({type(error).__name__}).") from error
    if array.ndim == 3 and array.shape[2] >= 3:
        first = array[:, :, 0]
        if all(np.array_equal(first, array[:, :, i]) for i in (1, 2)):
            array = first
    if array.ndim != 2 or array.dtype not in (np.uint8, np.bool_, np.uint16, np.int32):
        raise FileFormatError(
            f"{path.name} is a colour picture, not an index mask.",
            remedy="Write masks as grey or palette PNG with the class integer in each pixel.",
        )
    return raw, _as_label_map(path, array)


def read_slice(path: Path) -> npt.NDArray[Any]:
    """The pixels of a NIfTI file of one slice, (height, width), in the type it is stored in.

    Raises:
        FileFormatError: It is no NIfTI file, too large, or has several slices.
    """
    return _load_nifti(path)[0]


def _read_nifti(path: Path) -> StoredLabelMap:
    array, spacing_mm, axes = _load_nifti(path)
    return StoredLabelMap(_as_label_map(path, array), spacing_mm, axes)


def _load_nifti(
    path: Path,
) -> tuple[npt.NDArray[Any], tuple[float, float] | None, npt.NDArray[np.float64]]:
    # Imported here: nibabel takes a third of a second, which pictures should not cost.
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileFormatError(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes.")
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        if len(shape) < 2 or any(n != 1 for n in shape[2:]):
            raise FileFormatError(
                f"{path.name} has the shape {shape}; nnloop compares images of one slice.",
                remedy="Write every slice to a file of its own.",
            )
        if shape[0] * shape[1] > MAX_PIXELS:
            raise FileFormatError(f"{path.name} has more than {MAX_PIXELS:,} pixels.")
        array = np.asanyarray(image.dataobj).reshape(shape[:2])
        zooms = [float(size) for size in image.header.get_zooms()[:2]]
        unit = str(image.header.get_xyzt_units()[0])
        axes = np.asarray(image.affine, dtype=np.float64)[:3, :3]
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise FileFormatError(f"{path.name} can't be read ({type(error).__name__}).") from error
    return array, _spacing_mm(zooms, unit), axes


def _spacing_mm(zooms: list[float], unit: str) -> tuple[float, float] | None:
    if not all(np.isfinite(size) and size > 0 for size in zooms):
        return None
    if unit not in _MM or (unit == "unknown" and zooms == [1.0, 1.0]):
        return None
    return zooms[0] * _MM[unit], zooms[1] * _MM[unit]


def _as_label_map(path: Path, array: npt.NDArray[Any]) -> LabelMap:
    if array.size and array.dtype.kind not in "bui" and not np.array_equal(array, np.rint(array)):
        raise FileFormatError(
            f"{path.name} holds fractions, not classes.",
            remedy="Write the class integers, not probabilities.",
        )
    if array.max(initial=0) > WHITE or array.min(initial=0) < 0:
        raise FileFormatError(
            f"{path.name} holds the value {array.max() if array.max() > WHITE else array.min()}; "
            f"0 to {WHITE} are possible."
        )
    return array.astype(np.uint8)
