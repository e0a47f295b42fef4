"""Label maps in files: pictures (PNG, TIFF, BMP, GIF), and NIfTI of one slice or many."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.images.nifti_slices import (
    MAX_FILE_BYTES,
    NiftiSlice,
    load_nifti,
    load_stack,
)
from converters.masks.mask_pixels import WHITE, MaskPicture, as_label_map, decode_mask
from domain.errors import FileFormatError
from domain.geometry import MAX_PIXELS, LabelMap

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp")
"""Looked at only in a folder that has no other masks: images lie beside masks in these."""

ARRAY_SUFFIXES = (".npy",)
"""Looked at only in a folder without pictures and NIfTI: they hold all kinds of arrays."""

_NO_ARRAY = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    TokenError,
    OverflowError,
    RecursionError,
    MemoryError,
)
"""What NumPy raises on foreign bytes: it reads the head of a file as Python."""

NIFTI_SUFFIXES = (".nii.gz", ".nii")
SUFFIXES = PICTURE_SUFFIXES + NIFTI_SUFFIXES


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabelMap:
    """A label map as its file has it.

    Attributes:
        label_map: (height, width) uint8; of a volume (slice, height, width).
        spacing_mm: (vertical, horizontal) size of a pixel; None where the file says nothing
            physical. The resolution of PNG and TIFF files is one of print, and not taken.
        axes: (3, 3) float64, NIfTI's directions and sizes of the voxel axes; None without.
        doubt: As of a ``MaskPicture``.
        slice_mm: Of a volume, from one slice to the next; None where nothing is known.
    """

    label_map: LabelMap
    spacing_mm: tuple[float, float] | None = None
    axes: npt.NDArray[np.float64] | None = None
    doubt: str = ""
    slice_mm: float | None = None

    @property
    def n_slices(self) -> int:
        """1 of a picture."""
        return len(self.label_map) if self.label_map.ndim == 3 else 1


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

    Pictures are read by the rules of ``mask_pixels``. NIfTI needs one slice of whole
    numbers; it is turned as viewers show it (``nifti_axes``). NumPy's files hold an
    array (height, width).

    Raises:
        FileFormatError: It is no such file, too large, a colour picture, or holds values beyond
            0..255.
    """
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return _read_nifti(path)
    if path.name.lower().endswith(ARRAY_SUFFIXES):
        return StoredLabelMap(_read_array(path))
    picture = read_mask(path)[1]
    if picture.colors:
        raise FileFormatError(
            f"{path.name} is a colour picture, not an index mask.",
            remedy="Write masks as grey or palette PNG with the class integer in each pixel.",
        )
    return StoredLabelMap(picture.label_map)


def read_label_volume(path: Path) -> StoredLabelMap:
    """As ``read_label_map``; NIfTI may have several slices, which are in memory together."""
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return read_label_map(path)
    found = load_stack(path)
    if found.n == 1:
        return _of_slice(found.slice(0), path)
    axes = found.axes
    label_map = as_label_map(found.shown(), path.name)
    return StoredLabelMap(label_map, found.spacing_mm, axes.directions, axes.doubt, found.slice_mm)


def read_mask(path: Path) -> tuple[bytes, MaskPicture]:
    """The bytes of a file, and the mask in it; of a colour picture, colours are classes.

    Raises:
        FileFormatError: It can't be read, is too large or holds no mask.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise FileFormatError(f"{path.name} can't be read ({type(error).__name__}).") from error
    if path.name.lower().endswith((*NIFTI_SUFFIXES, *ARRAY_SUFFIXES)):
        stored = read_label_map(path)
        return raw, MaskPicture(stored.label_map, doubt=stored.doubt)
    return raw, decode_mask(raw, path.name)


def white_as_class(label_map: LabelMap, known: Iterable[int]) -> LabelMap:
    """A map of nothing but 0 and 255, where 255 is no class: 255 stands for the first class.

    Args:
        label_map: (height, width) uint8.
        known: The integers of the classes; none: 1 is the first.
    """
    integers = sorted(known)
    if WHITE in integers or not is_white(label_map):
        return label_map
    first = np.uint8(integers[0] if integers else 1)
    return np.where(label_map == WHITE, first, np.uint8(0))


def is_white(label_map: LabelMap) -> bool:
    """Whether a map (height, width) holds 255 and nothing else but 0."""
    inside = label_map[label_map > 0]
    return bool(inside.size and inside.min() == WHITE)


def class_integers(present: Iterable[Collection[int]]) -> set[int]:
    """The classes of a folder whose files hold these integers; white stands for 1 where it can.

    255 is a class of its own where a file holds it beside others.

    >>> sorted(class_integers([{0, 1}, {0, 255}]))
    [1]
    >>> sorted(class_integers([{0, 1, 255}, {0, 255}]))
    [1, 255]
    """
    found: set[int] = set()
    has_white = False
    for values in present:
        inside = set(values) - {0}
        if inside == {WHITE}:
            has_white = True
        else:
            found |= inside
    return found | {1} if has_white and WHITE not in found else found


def read_slice(path: Path, number: int = 0) -> npt.NDArray[Any]:
    """The pixels of a slice of a NIfTI file as viewers show it, in the type it is stored in.

    Returns:
        (height, width).

    Raises:
        FileFormatError: It is no NIfTI file, too large, or has no such slice.
    """
    found = load_stack(path)
    if number >= found.n:
        raise FileFormatError(f"{path.name} has {found.n} slices.")
    return found.slice(number).shown


def _read_nifti(path: Path) -> StoredLabelMap:
    return _of_slice(load_nifti(path), path)


def _of_slice(found: NiftiSlice, path: Path) -> StoredLabelMap:
    label_map = as_label_map(found.shown, path.name)
    return StoredLabelMap(label_map, found.spacing_mm, found.axes.directions, found.axes.doubt)


def _read_array(path: Path) -> LabelMap:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileFormatError(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes.")
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except _NO_ARRAY as error:
        raise FileFormatError(f"{path.name} can't be read ({type(error).__name__}).") from error
    if array.ndim != 2 or array.dtype.kind not in "buif" or array.size > MAX_PIXELS:
        raise FileFormatError(
            f"{path.name} holds an array of the shape {array.shape} and type {array.dtype}.",
            remedy="Write the class integer of each pixel, (height, width).",
        )
    return as_label_map(array, path.name)
