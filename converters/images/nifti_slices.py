"""NIfTI files of one slice or several, as the pictures that viewers show."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.images.nifti_axes import NiftiAxes
from domain.errors import FileFormatError
from domain.geometry import MAX_PIXELS, LabelMap

MAX_FILE_BYTES = 512 * 1024 * 1024
"""A larger image file is refused unread."""

MAX_STACK_BYTES = 2**31
"""Slices of a file are in memory together."""

_GZIP_LEVEL = 6

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


@dataclass(frozen=True, slots=True, eq=False)
class NiftiStack:
    """A file of slices, one behind the other along its third axis.

    Attributes:
        array: (first axis, second axis, slice), as the file has it; with colours (red, green, blue)
            along a fourth one.
        spacing_mm: (vertical, horizontal) size of a pixel; None where nothing is known.
        axes: Which of the file's axes is which.
        header: nibabel's, with the directions and sizes of the voxels.
        slice_mm: From the middle of a slice to that of the next; None where nothing is known.
    """

    array: npt.NDArray[Any]
    spacing_mm: tuple[float, float] | None
    axes: NiftiAxes
    header: Any
    slice_mm: float | None = None

    @property
    def n(self) -> int:
        """Slices."""
        return int(self.array.shape[2])

    def slice(self, number: int) -> NiftiSlice:
        """A slice, counted from 0."""
        shown = np.ascontiguousarray(self.axes.shown(self.array[:, :, number]))
        return NiftiSlice(shown, self.spacing_mm, self.axes)

    def shown(self) -> npt.NDArray[Any]:
        """All slices as viewers show them, (slice, height, width), in the numbers of the file."""
        return np.ascontiguousarray(np.moveaxis(self.axes.shown(self.array), 2, 0))

    def label_bytes(self, label_maps: Sequence[LabelMap]) -> bytes:
        """Label maps of all slices as a .nii.gz file that lies as this one does.

        Args:
            label_maps: (height, width) uint8 each, as shown.
        """
        import nibabel

        stored = np.stack([self.axes.stored(one) for one in label_maps], axis=2)
        header = self.header.copy()
        header.set_data_dtype(np.uint8)
        header.set_slope_inter(1, 0)
        image = nibabel.Nifti1Image(stored, None, header)
        return gzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0)


def n_slices(path: Path) -> int:
    """How many slices a file says it has; 1 where it can't be read: whoever reads it tells."""
    import nibabel

    try:
        shape = nibabel.load(path).shape
    except _damaged():
        return 1
    return max(int(shape[2]), 1) if len(shape) > 2 and all(n == 1 for n in shape[3:]) else 1


def _damaged() -> tuple[type[Exception], ...]:
    """What nibabel raises on foreign bytes."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError

    own = (ImageFileError, HeaderDataError, HeaderTypeError)
    return (OSError, EOFError, ValueError, ArithmeticError, MemoryError, zlib.error, *own)


def load_nifti(path: Path) -> NiftiSlice:
    """The only slice of a file.

    Raises:
        FileFormatError: It is no NIfTI file, too large, or has several slices.
    """
    return _load(path, most=1).slice(0)


def load_stack(path: Path) -> NiftiStack:
    """All slices of a file; they are in memory together.

    Raises:
        FileFormatError: It is no NIfTI file, too large, or has more than three axes.
    """
    return _load(path, most=MAX_STACK_BYTES)


def _load(path: Path, most: int) -> NiftiStack:
    # Imported here: nibabel takes a third of a second, which pictures should not cost.
    import nibabel

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileFormatError(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes.")
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        n = shape[2] if len(shape) > 2 else 1
        if len(shape) > 1 and min(shape) < 1:
            raise FileFormatError(f"{path.name} has the shape {shape}, and so no pixel.")
        if len(shape) < 2 or any(size != 1 for size in shape[3:]) or n > most:
            raise FileFormatError(
                f"{path.name} has the shape {shape}; nnloop reads images of "
                + ("one slice." if most == 1 else "slices one behind the other."),
                remedy="Write every slice to a file of its own.",
            )
        if shape[0] * shape[1] > MAX_PIXELS:
            raise FileFormatError(f"{path.name} has more than {MAX_PIXELS:,} pixels.")
        if shape[0] * shape[1] * n * image.get_data_dtype().itemsize > MAX_STACK_BYTES:
            raise FileFormatError(
                f"{path.name} has more than {MAX_STACK_BYTES // 2**20:,} MiB of pixels.",
                remedy="Write its slices to several files.",
            )
        array = np.asanyarray(image.dataobj).reshape(*shape[:2], n)
        zooms = [float(size) for size in image.header.get_zooms()[:3]]
        unit = str(image.header.get_xyzt_units()[0])
        axes = NiftiAxes(
            np.asarray(image.affine, dtype=np.float64)[:3, :3],
            is_said=any(int(image.header[f"{form}_code"]) > 0 for form in ("qform", "sform")),
        )
    except _damaged() as error:
        raise FileFormatError(f"{path.name} can't be read ({type(error).__name__}).") from error
    spacing_mm = _spacing_mm([zooms[axes.down], zooms[1 - axes.down]], unit)
    between = zooms[2] if len(zooms) > 2 else math.nan
    is_known = spacing_mm is not None and math.isfinite(between) and between > 0
    slice_mm = between * _MM[unit] if is_known else None
    return NiftiStack(array, spacing_mm, axes, image.header, slice_mm)


def _spacing_mm(zooms: list[float], unit: str) -> tuple[float, float] | None:
    if not all(np.isfinite(size) and size > 0 for size in zooms):
        return None
    if unit not in _MM or (unit == "unknown" and zooms == [1.0, 1.0]):
        return None
    return zooms[0] * _MM[unit], zooms[1] * _MM[unit]
