"""NIfTI: 2D images and labels as pseudo-3D volumes of one slice."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.bookkeeping.files import write_bytes, write_json
from converters.exports.exporter import Format, Needs, Records, Written
from converters.exports.item import ExportItem
from converters.exports.masks import CLASSES, class_integers, image_rows, record_of
from converters.exports.options import ExportOptions
from converters.masks.image_list import IMAGES
from domain.labels import LabelConfig
from domain.text import counted

_THICKNESS_MM = 1.0
_GZIP_LEVEL = 6

NONE_KNOWN = (1.0, 1.0)
"""What is written where nothing is known."""

_MOST_NAMED = 5
"""Tasks that a remark names."""


class Nifti:
    """labels/NAME.nii.gz, and images/NAME_0000.nii.gz where the image is there.

    The axes are those that SimpleITK and nnU-Net write: x runs along the columns of the image, y
    down its rows. So SimpleITK reads (1, height, width), nibabel (width, height, 1). A colour image
    gives one file per channel (_0000 red, _0001 green, _0002 blue); several images of a task follow
    each other in the order of the project's channels.
    """

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config = out, config

    def write(self, item: ExportItem) -> Written:
        """Writes the label map and the image's channels."""
        arrays: dict[str, npt.NDArray[Any]] = {f"labels/{item.stem}.nii.gz": item.label_map}
        if item.channels:
            channels = np.dstack(item.channels)
            for i in range(channels.shape[2]):
                arrays[f"images/{item.stem}_{i:04d}.nii.gz"] = channels[:, :, i]
        for name, array in arrays.items():
            write_bytes(self._out / name, nifti_bytes(array, item.spacing_mm))
        record = record_of(f"labels/{item.stem}.nii.gz", item)
        return Written(tuple(arrays), record | {"spacing_mm": item.spacing_mm})

    def finish(self, records: Records) -> None:
        """Writes classes.json and images.json."""
        write_json(self._out / CLASSES, class_integers(self._config))
        write_bytes(self._out / IMAGES, image_rows(records))


def affine_of(
    spacing_mm: tuple[float, float], thickness_mm: float = _THICKNESS_MM
) -> npt.NDArray[np.float64]:
    """(4, 4) from voxel (column, row, slice) to NIfTI's millimetres (right, anterior, superior).

    As in DICOM and every viewer: columns run to the patient's left, rows to the back. So the
    picture stands upright, with its left side on the screen's left.

    Args:
        spacing_mm: (vertical, horizontal) size of a pixel.
        thickness_mm: Of the slice.
    """
    vertical, horizontal = spacing_mm
    return np.array(
        [
            [-horizontal, 0.0, 0.0, 0.0],
            [0.0, -vertical, 0.0, 0.0],
            [0.0, 0.0, thickness_mm, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def nifti_bytes(
    array: npt.NDArray[Any],
    spacing_mm: tuple[float, float] | None,
    thickness_mm: float = _THICKNESS_MM,
) -> bytes:
    """A .nii.gz file of one slice; equal arrays give equal bytes.

    Args:
        array: (height, width) uint8 or uint16.
        spacing_mm: (vertical, horizontal) size of a pixel; None is written as 1 of unknown unit.
        thickness_mm: Of the slice.
    """
    # Imported here: nibabel takes a third of a second, which no other format should cost.
    import nibabel

    volume = np.ascontiguousarray(array.T)[:, :, np.newaxis]
    affine = affine_of(spacing_mm or NONE_KNOWN, thickness_mm)
    image = nibabel.Nifti1Image(volume, affine)
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    image.header.set_xyzt_units("mm" if spacing_mm else "unknown")
    image.header.set_slope_inter(1, 0)
    return gzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0)


def spacing_remarks(records: Records) -> tuple[str, ...]:
    """Says that some images have a known size of a pixel and others have none."""
    unknown, n = [], 0
    for record in records():
        n += 1
        if record["spacing_mm"] is None:
            unknown.append(record["task_id"])
    if not 0 < len(unknown) < n:
        return ()
    names = ", ".join(f"task {task_id}" for task_id in unknown[:_MOST_NAMED])
    more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
    return (
        f"Nothing says how large the pixels of {len(unknown)} of {counted(n, 'image')} are ({names}"
        f"{more}): they are written with the spacing 1, the others with their own, so whoever "
        "compares sizes is wrong. Give it with --spacing, or as `spacing` in their data.",
    )


FORMAT = Format(
    "nifti",
    "NIfTI, one slice with each image's spacing and SimpleITK's axes, labels and images",
    Needs.PIXELS_IF_THERE,
    Nifti,
    version=4,
    remarks_of_all=spacing_remarks,
)
