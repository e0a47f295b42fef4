"""LabelMe: a folder with one JSON file per image."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from converters.imports.source import (
    ImportedImage,
    ImportedShape,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Notes,
    box_polygon,
    ellipse_polygon,
    is_coordinate,
    is_size,
    ring_of,
)
from converters.json_stream import MAX_PIECE_BYTES, Piece
from converters.mask_pixels import decode_mask
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask, Polygon, Shape

_NO_AREA = frozenset({"line", "linestrip", "point", "points"})
_RINGS = frozenset({"polygon", "rotation", "quadrilateral"})
"""Shapes given by their corners; the last two are X-AnyLabeling's."""


def read_labelme(path: Path, options: ImportOptions) -> ImportSource:
    """Reads LabelMe files in order of their names; ``path`` is a folder or one file.

    Polygons, rectangles, circles and masks are taken; lines and points are left out. Shapes with
    the same label and ``group_id`` are one region.

    Raises:
        FileFormatError: The folder is missing or has no JSON file.
    """
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.suffix.lower() == ".json")
        folder = path
    else:
        names, folder = [path.name], path.parent
    if not names or not path.exists():
        raise FileFormatError(
            f"{path} holds no JSON file of LabelMe.", remedy="Give the folder with its files."
        )
    for number, name in enumerate(names, start=1):
        try:
            yield _image(number, folder / name, options)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_image", str(error))


def _image(number: int, path: Path, options: ImportOptions) -> ImportedImage:
    # imageData holds the whole image: a file may be larger than a piece of an export.
    try:
        raw = path.read_bytes() if path.stat().st_size <= 8 * MAX_PIECE_BYTES else b""
    except OSError as error:
        raise FileFormatError(f"{path} can't be read: {error.strerror}.") from error
    value = Piece("", "", 0, 0, raw.removeprefix(b"\xef\xbb\xbf"), path.name).parse()
    shapes = value.get("shapes") if isinstance(value, dict) else None
    if not isinstance(shapes, list):
        raise FileFormatError(f"{path.name} is no file of LabelMe: it has no list 'shapes'.")
    said = value.get("imagePath")
    is_named = isinstance(said, str) and bool(said.strip())
    name = PurePosixPath(str(said).replace("\\", "/")).name if is_named else f"{path.stem}.png"
    height, width = _whole(value.get("imageHeight")), _whole(value.get("imageWidth"))
    notes = Notes(number, name)
    grouped: dict[tuple[str, object], list[Shape]] = {}
    for i, shape in enumerate(shapes, start=1):
        _add(i, shape, options.default_class, notes, grouped)
    return ImportedImage(
        number=number,
        key=path.name,
        stamp=hashlib.sha256(raw).hexdigest(),
        file_name=name,
        size_hw=(height, width) if is_size(height) and is_size(width) else None,
        regions=tuple(ImportedShape(label, tuple(found)) for (label, _), found in grouped.items()),
        notes=tuple(notes.items),
        is_empty=not shapes,
        stems=() if is_named else (path.stem,),
    )


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _add(
    number: int,
    shape: Any,
    default_class: str,
    notes: Notes,
    grouped: dict[tuple[str, object], list[Shape]],
) -> None:
    label = shape.get("label") if isinstance(shape, dict) else None
    label = str(label) if isinstance(label, int) and not isinstance(label, bool) else label
    label = label.strip() if isinstance(label, str) and label.strip() else default_class
    if not isinstance(shape, dict) or not label:
        notes.add(number, "no_class", "has no label; --default-class gives it one")
        return
    kind = str(shape.get("shape_type") or "polygon")[:40]
    if kind in _NO_AREA:
        notes.add(number, "no_area", f"is a {kind} and has no area")
        return
    try:
        found = _shape(kind, shape)
    except ValueError as error:
        notes.add(number, "malformed_region", str(error))
        return
    group = shape.get("group_id")
    key = (label, group) if isinstance(group, int | str) else (label, ("alone", number))
    grouped.setdefault(key, []).append(found)


def _shape(kind: str, shape: dict[str, Any]) -> Shape:
    points = shape.get("points")
    is_cornered = kind == "rectangle" and isinstance(points, list) and len(points) == 4
    if kind in _RINGS or is_cornered:  # X-AnyLabeling gives rectangles all four corners
        return Polygon(ring_of(points))
    if (
        not isinstance(points, list)
        or len(points) != 2
        or not all(
            isinstance(p, list) and len(p) == 2 and all(map(is_coordinate, p)) for p in points
        )
    ):
        raise ValueError(f"is a {kind} without two points")
    (x0, y0), (x1, y1) = points
    if kind == "circle":  # centre, and a point on the circle
        radius = math.hypot(x1 - x0, y1 - y0)
        if radius <= 0:
            raise ValueError("is a circle without a radius")
        return ellipse_polygon((x0, y0), (radius, radius))
    left, top, right, bottom = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    if kind == "rectangle":
        if right <= left or bottom <= top:
            raise ValueError("is a rectangle without area")
        return box_polygon(left, top, right - left, bottom - top)
    if kind == "mask":
        return _mask(shape.get("mask"), round(top), round(left))
    raise ValueError(f"has the unknown shape {kind!r}")


def _mask(text: Any, top: int, left: int) -> PixelMask:
    """LabelMe's mask: a PNG of the box's size in base64."""
    if not isinstance(text, str) or top < 0 or left < 0:
        raise ValueError("is a mask without pixels")
    try:
        inside = decode_mask(base64.b64decode(text, validate=True), "its mask").label_map > 0
    except binascii.Error as error:
        raise ValueError(f"is a mask that is no base64 ({error})") from error
    except FileFormatError as error:
        raise ValueError(f"has a mask that can't be used: {error}".rstrip(".")) from error
    if not inside.any():
        raise ValueError("covers no pixel")
    return PixelMask(top, left, np.asarray(inside, dtype=np.bool_))


FORMAT = ImportFormat("labelme", "a folder of LabelMe JSON files", read_labelme)
