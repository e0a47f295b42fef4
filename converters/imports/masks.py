"""Index masks: a folder of PNG files, 0 = background, k = class k."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from converters.class_names import names_in_classes_json
from converters.imports.source import ImportedImage, ImportFormat, ImportOptions, ImportSource
from converters.label_map_files import WHITE, read_mask
from domain.annotation import LeftOut
from domain.errors import FileFormatError


def read_masks(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a folder of masks in order of their names.

    Grey and palette PNGs of 8 bits are taken as they are (a palette's integer, not its colour). A
    mask whose only other value is 255 counts as class 1. Classes are called as ``options.classes``
    says, else as classes.json does, else ``class_1``, ``class_2``, ...

    Raises:
        FileFormatError: The folder is missing or has no PNG file, or classes.json is no such file.
    """
    names = (
        sorted(p.name for p in path.iterdir() if p.suffix.lower() == ".png")
        if path.is_dir()
        else []
    )
    if not names:
        raise FileFormatError(f"{path} holds no PNG masks.", remedy="Give the folder with them.")
    label_names = _label_names(path, options)
    for number, name in enumerate(names, start=1):
        try:
            yield _image(number, path / name, label_names)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_mask", str(error))


def _image(number: int, path: Path, label_names: dict[int, str]) -> ImportedImage:
    raw, array = read_mask(path)
    values = np.unique(array).tolist()
    notes = []
    if values and values[-1] == WHITE and set(values) <= {0, WHITE} and WHITE not in label_names:
        array = np.where(array == WHITE, 1, 0).astype(np.uint8)
        values = [v if v == 0 else 1 for v in values]
    names = dict(label_names)
    for value in values:
        if value == 0 or value in names:
            continue
        if label_names:
            message = f"The mask {path.name!r} holds the value {value}, which has no class."
            notes.append(LeftOut(number, "unknown_value", message, str(value)))
            array = np.where(array == value, 0, array).astype(np.uint8)
        else:
            names[value] = f"class_{value}"
    digest = hashlib.sha256(raw + json.dumps(sorted(names.items())).encode())
    return ImportedImage(
        number=number,
        key=path.name,
        stamp=digest.hexdigest(),
        file_name=path.name,
        size_hw=(int(array.shape[0]), int(array.shape[1])),
        notes=tuple(notes),
        label_map=array,
        label_names=names,
    )


def _label_names(path: Path, options: ImportOptions) -> dict[int, str]:
    if options.classes:
        return dict(enumerate(options.classes, start=1))
    return names_in_classes_json(path)


FORMAT = ImportFormat("masks", "a folder of index masks (PNG)", read_masks)
