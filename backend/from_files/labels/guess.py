"""Which format a file or folder of labels is of, where nobody has said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from converters.bookkeeping.files import file_names
from converters.bookkeeping.json_stream import iter_json
from converters.imports.formats import FORMATS
from converters.imports.readers import label_studio
from domain.errors import FileFormatError, NnloopError, SettingsError

LABEL_STUDIO = label_studio.NAME
"""Its own export, which is read task by task with all that is in it."""

NAMES = (LABEL_STUDIO, *(name for name in FORMATS if name != LABEL_STUDIO))

_PICTURES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg", ".nii", ".gz", ".npy")
_LOOKED_AT = 50
"""Members of an object, or files of a folder, that are looked at."""


def guess_format(path: Path) -> str:
    """The name of the format, one of ``NAMES``.

    Raises:
        FileFormatError: There is nothing, or it does not look like any of them.
    """
    if not path.exists():
        raise FileFormatError(f"There is no file or folder {path}.", remedy="Correct the path.")
    found = next(_of_folder(path) if path.is_dir() else _of_file(path), None)
    if found is None:
        raise FileFormatError(
            f"What {path} holds can't be told.",
            remedy=f"Say it with --format: {', '.join(NAMES)}.",
        )
    return found


def placed(path: Path, format_name: str, images: Path | None) -> tuple[Path, Path | None]:
    """Where the labels lie, and their images: of a folder with both, the two in it.

    Args:
        path: What the person named.
        format_name: Of the labels.
        images: The folder of images that they named; None: none.
    """
    if format_name != "masks":
        return path, images
    for labels, beside in (("masks", "images"), ("labelsTr", "imagesTr")):
        if (path / labels).is_dir():
            found = path / beside
            return path / labels, images or (found if found.is_dir() else None)
    return path, images


def check_format(name: str) -> str:
    """The name, if it is one; SettingsError otherwise."""
    if name not in NAMES:
        raise SettingsError(
            f"There is no format {name!r} to train on.", remedy=f"Choose one of {', '.join(NAMES)}."
        )
    return name


def _of_file(path: Path) -> Iterator[str]:
    if path.suffix.lower() == ".xml":
        yield "cvat"
    if path.suffix.lower() != ".json":
        return
    keys: set[str] = set()
    try:
        for piece in islice(iter_json(path, into=("tasks",)), _LOOKED_AT):
            if piece.group or not piece.key:
                # A list: Label Studio's tasks.
                yield LABEL_STUDIO
                return
            keys.add(piece.key)
    except NnloopError:
        return
    if {"images", "categories"} <= keys:
        yield "coco"
    elif {"shapes", "imagePath"} <= keys:
        yield "labelme"
    elif "_via_img_metadata" in keys or any("." in key for key in keys):
        yield "via"
    elif {"annotations", "data"} & keys:
        yield LABEL_STUDIO


def _of_folder(path: Path) -> Iterator[str]:
    if any((path / name).is_dir() for name in ("labelsTr", "masks")):
        yield "masks"
    names = sorted(file_names(path))[: 20 * _LOOKED_AT]
    endings = {Path(name).suffix.lower() for name in names}
    if {"data.yaml", "dataset.yaml", "obj.names"} & set(names) or (path / "labels").is_dir():
        yield "yolo"
    if ".json" in endings:
        first = next(name for name in names if name.lower().endswith(".json"))
        yield from _of_file(path / first)
    if ".xml" in endings:
        yield "voc"
    if endings & set(_PICTURES):
        yield "masks"
