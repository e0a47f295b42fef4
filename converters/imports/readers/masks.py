"""Masks: a folder of pictures, 0 = background, k = class k, or one colour per class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.classes.integers import ClassNames, classes_beside
from converters.imports.find import IMAGE_ENDINGS
from converters.imports.readers.class_masks import own_image, read_class_masks
from converters.imports.source import ImportedImage, ImportFormat, ImportOptions, ImportSource
from converters.masks.image_list import images_of_masks
from converters.masks.label_map_files import (
    PICTURE_SUFFIXES,
    class_integers,
    read_mask,
    white_as_class,
)
from converters.masks.mask_folders import (
    MaskFile,
    MaskName,
    folder_of_masks,
    folders_of_classes,
    images_beside,
    mask_files,
    not_read,
)
from converters.masks.mask_pixels import WHITE
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.text import counted

_MAX_VALUES = 40
"""Values without a class: with more, a picture is antialiased or a photograph."""


def read_masks(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a folder of masks in order of their names; of nnU-Net's data set its labels.

    A folder with a folder for every class is read by ``converters.imports.readers.class_masks``.

    Pictures are read by the rules of ``mask_pixels``. Where only 0 and 255 occur, 255
    is class 1. Classes are called as ``options.classes`` says, else as classes.json or nnU-Net's
    dataset.json does, else ``class_1``, ``class_2``, ...; colours as ``options.colors`` or
    labelmap.txt says, else ``#rrggbb``.

    Raises:
        FileFormatError: The folder is missing or has no mask, or the file of names is no such file.
    """
    folder = folder_of_masks(path)
    said = classes_beside(folder) if folder.is_dir() else ClassNames()
    class_folders = folders_of_classes(folder, said.folders)
    if class_folders:
        yield from read_class_masks(class_folders, options)
        return
    files = mask_files(folder, MaskName(options.mask_name), PICTURE_SUFFIXES)
    own = {} if options.mask_name else images_of_masks(folder)
    # The names of an export are no pattern: 'scan_mask.png' is no mask of 'scan.png' there.
    files = [file for file in files if file.path.name not in own] + [
        MaskFile(folder / name, (PurePosixPath(of.image).stem,)) for name, of in own.items()
    ]
    files.sort(key=lambda file: file.path.name)
    # A list beside the masks says more than the colours of an interface, which may be made up; what
    # a person calls background is that.
    colors = dict(options.colors) | said.colors
    colors |= {color: "" for color, name in options.colors.items() if not name}
    names = dict(enumerate(options.classes, start=1)) or said.names
    ignored = said.ignored - names.keys()
    if options.ignore_label:
        names = names | dict.fromkeys(ignored, options.ignore_label)
    known = ClassNames(names, ignored, colors, background=0 if options.classes else said.background)
    guessed = () if names else class_integers(_values(file.path) for file in files)
    is_named_alike = all(len(f.names) > 1 or f.path.name in own for f in files)
    images = images_beside(folder)
    for number, file in enumerate(files, start=1):
        try:
            image = _image(number, file, known, guessed, images, is_named_alike)
        except FileFormatError as error:
            message = error.in_full
            yield LeftOut(number, "malformed_mask", message)
            continue
        yield own_image(image, own.get(file.path.name))
    for what in not_read(folder, [file.path for file in files]):
        message = f"{what[:1].upper()}{what[1:]} beside the masks is not read; import it by itself."
        yield LeftOut(0, "not_read", message)


def _image(
    number: int,
    file: MaskFile,
    known: ClassNames,
    guessed: Collection[int],
    images: Path | None,
    is_named_alike: bool,
) -> ImportedImage:
    path = file.path
    raw, picture = read_mask(path)
    label_map, notes = picture.label_map, list[LeftOut]()
    if known.background and not picture.colors:
        label_map = np.where(label_map == known.background, np.uint8(0), label_map)
    is_empty = not label_map.any()
    if picture.colors:
        names, background = _named_colors(path, label_map, picture.colors, known.colors)
        label_map = np.where(np.isin(label_map, background), np.uint8(0), label_map)
        names = {value: name for value, name in names.items() if name}
        is_empty = not label_map.any()
    else:
        if WHITE not in known.ignored:
            label_map = white_as_class(label_map, known.names or guessed)
        present = set(np.unique(label_map).tolist())
        names = known.names or {value: f"class_{value}" for value in present & set(guessed)}
        notes = _unnamed(number, path, label_map, names.keys(), known.ignored)
        label_map = np.where(np.isin(label_map, list(names)), label_map, np.uint8(0))
    if picture.doubt:
        message = f"The mask {path.name!r} {picture.doubt}."
        notes.append(LeftOut(number, "orientation", message))
    digest = hashlib.sha256(raw + json.dumps(sorted(names.items())).encode())
    stem = file.names[-1] if is_named_alike else file.names[0]
    return ImportedImage(
        number=number,
        key=path.name,
        stamp=digest.hexdigest(),
        file_name=stem + (path.suffix if path.suffix.lower() in PICTURE_SUFFIXES else ".png"),
        size_hw=(int(label_map.shape[0]), int(label_map.shape[1])),
        notes=tuple(notes),
        label_map=label_map,
        label_names=dict(names),
        is_empty=is_empty,
        stems=file.names,
        path=_beside(images, file.names),
        mask=path,
    )


def _beside(images: Path | None, names: tuple[str, ...]) -> Path | None:
    """nnU-Net's image of a label file: its first channel."""
    for name in names if images is not None else ():
        found = sorted(images.glob(f"{_escaped(name)}_0000.*")) if images else []
        shown = [path for path in found if path.suffix.lower() in IMAGE_ENDINGS]
        if shown:
            return shown[0]
    return None


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _values(path: Path) -> set[int]:
    try:
        picture = read_mask(path)[1]
    except FileFormatError:
        return set()  # reported when the mask is read
    values = set(np.unique(picture.label_map).tolist())
    return set() if picture.colors or len(values) > _MAX_VALUES else values


def _named_colors(
    path: Path, label_map: npt.NDArray[np.uint8], found: dict[int, str], known: dict[str, str]
) -> tuple[dict[int, str], list[int]]:
    """Class names by integer, and the integers of colours that are background."""
    names = {value: known.get(color, color) for value, color in found.items()}
    unnamed = [color for color in found.values() if color not in known]
    if unnamed and label_map.all() and all(names.values()):
        raise FileFormatError(
            f"{path.name} is a colour picture without black, so its background is not known.",
            remedy=f"Say which colour it is with --map '{unnamed[0]}='.",
        )
    return names, [value for value, name in names.items() if not name]


def _unnamed(
    number: int,
    path: Path,
    label_map: npt.NDArray[np.uint8],
    known: Collection[int],
    ignored: Collection[int],
) -> list[LeftOut]:
    counts: Any = np.bincount(label_map.ravel(), minlength=256)
    values = [v for v in np.flatnonzero(counts).tolist() if v and v not in known]
    if len(values) > _MAX_VALUES:
        raise FileFormatError(
            f"{path.name} holds {counted(len(values), 'value')} without a class: it is "
            "antialiased, or no mask.",
            remedy="Write the class integer, or 255, in each pixel, without smoothing.",
        )
    notes = []
    for value in values:
        n = int(counts[value])
        if value in ignored or (value == WHITE and len(known) > 0):
            pixels = counted(n, "pixel")
            what = f"is to be ignored in {pixels} (value {value}): background"
            reason = "ignored_pixels"
        else:
            what = (
                f"holds the value {value} in {counted(n, 'pixel')}, which has no class: background"
            )
            reason = "unknown_value"
        notes.append(LeftOut(number, reason, f"The mask {path.name!r} {what}.", str(value)))
    return notes


FORMAT = ImportFormat(
    "masks",
    "a folder of masks (PNG, TIFF, BMP, GIF, NIfTI, NumPy), one with a folder per class, or "
    "nnU-Net's data set",
    read_masks,
)
