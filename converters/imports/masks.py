"""Index masks: a folder of PNG files, 0 = background, k = class k."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from converters.image_files import MAX_FILE_BYTES
from converters.images import MAX_PIXELS
from converters.imports.source import ImportedImage, ImportFormat, ImportOptions, ImportSource
from domain.annotation import LeftOut
from domain.errors import FileFormatError

CLASSES = "classes.json"
"""Beside or above the masks: class name -> integer, as ``nnloop export masks-png`` writes it."""

_WHITE = 255


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
    raw, array = _read(path)
    values = np.unique(array).tolist()
    notes = []
    if values and values[-1] == _WHITE and set(values) <= {0, _WHITE} and _WHITE not in label_names:
        array = np.where(array == _WHITE, 1, 0).astype(np.uint8)
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


def _read(path: Path) -> tuple[bytes, npt.NDArray[np.uint8]]:
    """The file, and (height, width) uint8."""
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
    if array.max(initial=0) > _WHITE or array.min(initial=0) < 0:
        raise FileFormatError(f"{path.name} holds the value {array.max()}; 255 is the largest.")
    return raw, array.astype(np.uint8)


def _label_names(path: Path, options: ImportOptions) -> dict[int, str]:
    if options.classes:
        return dict(enumerate(options.classes, start=1))
    for file in (path / CLASSES, path.parent / CLASSES):
        if not file.is_file():
            continue
        try:
            value: Any = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{file} can't be read: {error}.") from error
        if not isinstance(value, dict) or not all(type(v) is int for v in value.values()):
            raise FileFormatError(
                f"{file} does not map class names to integers.",
                remedy='Write it like {"background": 0, "lumen": 1}, or use --classes.',
            )
        return {number: str(name) for name, number in value.items() if number != 0}
    return {}


FORMAT = ImportFormat("masks", "a folder of index masks (PNG)", read_masks)
