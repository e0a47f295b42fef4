"""Stacks of slices to train on: every slice a picture of its own, all of a stack in one group."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.bookkeeping.files import exact_stamp_of
from converters.bookkeeping.work_index import WorkIndex
from converters.classes.integers import CLASSES, DATASET
from converters.images.image_pixels import write_png
from converters.images.medical_pixels import MEDICAL_ENDINGS, as_pixels, load_slices, n_pictures
from converters.images.nifti_slices import load_stack, n_slices
from converters.masks.channel_files import volume_of_channel
from converters.masks.label_map_files import NIFTI_SUFFIXES
from converters.masks.mask_folders import FIRST_CHANNEL
from converters.masks.mask_pixels import as_label_map
from domain.annotation import LeftOut
from domain.errors import FileFormatError, TaskError

GROUP_KEY = r"name:^(.+)__slice\d+"
"""Finds in the name of a slice the stack that it is of."""

_IMAGES, _LABELS = "images", "masks"

_OF_DICOM = [ending for ending in MEDICAL_ENDINGS if ending not in NIFTI_SUFFIXES]
_DICOM_ENDINGS = (*_OF_DICOM, *map(str.upper, _OF_DICOM), "")


@dataclass(frozen=True, slots=True)
class Unstacked:
    """Where the slices of a set lie.

    Attributes:
        labels: Folder of their masks.
        images: Of their pictures.
        left_out: Stacks that could not be taken apart, and why.
    """

    labels: Path
    images: Path
    left_out: tuple[LeftOut, ...]


def has_stacks(labels: Path) -> bool:
    """Whether a folder of masks holds NIfTI files of several slices."""
    return labels.is_dir() and any(n_slices(path) > 1 for path in _volumes(labels))


def unstack(
    labels: Path,
    images: Path,
    into: Path,
    on_stack: Callable[[], None] = lambda: None,
    *,
    n_channels: int = 1,
) -> Unstacked:
    """Writes every slice of a set as a picture and a mask; those that are there and unchanged stay.

    Args:
        labels: Folder of masks, NIfTI.
        images: Folder of images, NIfTI or DICOM of several frames, called as the masks (nnU-Net's
            ``_0000`` may follow).
        into: Where to.
        on_stack: Called after each file.
        n_channels: Of an image, in files of their own (``_0000``, ``_0001``, ...); 1: one file.

    Raises:
        StackError: There is no room.
    """
    (into / _LABELS).mkdir(parents=True, exist_ok=True)
    (into / _IMAGES).mkdir(parents=True, exist_ok=True)
    for name in (CLASSES, DATASET):
        for folder in (labels, labels.parent):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, into / name)
                break
    left_out = []
    with WorkIndex(into / ".nnloop-index.sqlite", into, "unstack") as index:
        for number, path in enumerate(_volumes(labels), start=1):
            stem = _stem(path)
            try:
                found = _images_of(stem, images, n_channels)
                stamp = " ".join(map(exact_stamp_of, [path, *found]))
                if not index.is_current(path.name, stamp):
                    index.done(path.name, stamp, _write(path, found, stem, into), {}, ())
            except (FileFormatError, TaskError, OSError) as error:
                note = LeftOut(number, "malformed_stack", f"{path.name}: {error}")
                left_out.append(note)
                index.left_out(path.name, note)
            on_stack()
        index.forget_unseen()
    return Unstacked(into / _LABELS, into / _IMAGES, tuple(left_out))


def _write(path: Path, images: Sequence[Path], stem: str, into: Path) -> list[str]:
    masks = load_stack(path)
    files = []
    for channel, image in enumerate(images):
        pictures = load_slices(image)
        if masks.array.shape != pictures.array.shape[:3]:
            raise FileFormatError(
                f"it has the shape {masks.array.shape}, its image {image.name} "
                f"{pictures.array.shape[:3]}.",
                remedy="Write both with the same slices.",
            )
        if not masks.axes.is_known:
            masks = replace(masks, axes=pictures.axes)
        after = f"_{channel:04d}" if len(images) > 1 else ""
        for number in range(masks.n):
            name = f"{_IMAGES}/{stem}__slice{number:04d}{after}.png"
            # As the mask lies: the two are one picture.
            lies = masks.axes.shown(pictures.array[:, :, number])
            write_png(into / name, as_pixels(np.ascontiguousarray(lies), 0))
            files.append(name)
    for number in range(masks.n):
        name = f"{_LABELS}/{stem}__slice{number:04d}.png"
        shown = masks.slice(number).shown
        write_png(into / name, as_label_map(np.ascontiguousarray(shown), path.name))
        files.append(name)
    return files


def _images_of(stem: str, images: Path, n_channels: int) -> list[Path]:
    if n_channels == 1:
        return [_image_of(stem, images)]
    found = []
    for number in range(n_channels):
        path = volume_of_channel(stem, number, images)
        if path is None:
            raise FileFormatError(f"there is no channel {stem}_{number:04d} in {images}.")
        found.append(path)
    return found


def _image_of(stem: str, images: Path) -> Path:
    for name in (f"{stem}{FIRST_CHANNEL}", stem):
        for ending in (*NIFTI_SUFFIXES, *_DICOM_ENDINGS):
            path = images / f"{name}{ending}"
            if path.is_file() and (ending or n_pictures(path) > 1):
                return path
    raise FileFormatError(f"there is no image {stem} in {images}.")


def _volumes(labels: Path) -> list[Path]:
    found = [p for p in sorted(labels.iterdir()) if p.name.lower().endswith(NIFTI_SUFFIXES)]
    return [path for path in found if not path.name.startswith(".")]


def _stem(path: Path) -> str:
    ending = next(e for e in MEDICAL_ENDINGS if path.name.lower().endswith(e))
    return path.name[: -len(ending)]
