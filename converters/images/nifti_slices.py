"""NIfTI files of one slice, as the picture that viewers show."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.images.nifti_axes import NiftiAxes
from domain.errors import FileFormatError
from domain.geometry import MAX_PIXELS

MAX_FILE_BYTES = 512 * 1024 * 1024
"""A larger image file is refused unread."""

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
"""Millimetres of a NIfTI length unit. Files without a unit mean millimetres, as every viewer
takes them, unless all sizes are 1: that is what is written when nothing is known."""


@dataclass(frozen=True, slots=True, eq=False)
class NiftiSlice:
    """A slice.

    Attributes:
        shown: (height, width) as viewers show it, in the numbers of the file.
        spacing_mm: (vertical, horizontal) size of a pixel; None where nothing is known.
        axes: Which of the file's axes is which.
    """

    shown: npt.NDArray[Any]
    spacing_mm: tuple[float, float] | None
    axes: NiftiAxes


def load_nifti(path: Path) -> NiftiSlice:
    """The only slice of a file.

    Raises:
        FileFormatError: It is no NIfTI file, too large, or has several slices.
    """
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
                f"{path.name} has the shape {shape}; nnloop reads images of one slice.",
                remedy="Write every slice to a file of its own.",
            )
        if shape[0] * shape[1] > MAX_PIXELS:
            raise FileFormatError(f"{path.name} has more than {MAX_PIXELS:,} pixels.")
        array = np.asanyarray(image.dataobj).reshape(shape[:2])
        zooms = [float(size) for size in image.header.get_zooms()[:2]]
        unit = str(image.header.get_xyzt_units()[0])
        axes = NiftiAxes(
            np.asarray(image.affine, dtype=np.float64)[:3, :3],
            is_said=any(int(image.header[f"{form}_code"]) > 0 for form in ("qform", "sform")),
        )
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise FileFormatError(f"{path.name} can't be read ({type(error).__name__}).") from error
    spacing_mm = _spacing_mm([zooms[axes.down], zooms[1 - axes.down]], unit)
    return NiftiSlice(np.ascontiguousarray(axes.shown(array)), spacing_mm, axes)


def _spacing_mm(zooms: list[float], unit: str) -> tuple[float, float] | None:
    if not all(np.isfinite(size) and size > 0 for size in zooms):
        return None
    if unit not in _MM or (unit == "unknown" and zooms == [1.0, 1.0]):
        return None
    return zooms[0] * _MM[unit], zooms[1] * _MM[unit]
