"""LabelMe: a folder with one JSON file per image."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import io
import math
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from converters.bookkeeping.json_stream import MAX_PIECE_BYTES, Piece
from converters.images.image_pixels import UNREADABLE
from converters.imports.readers.shapes import (
    box_between,
    box_of_corners,
    cut_mask,
    ellipse_polygon,
    is_coordinate,
    ring_of,
    size_of_image,
    with_numbers,
)
from converters.imports.source import (
    ImportedImage,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Regions,
)
from converters.masks.mask_pixels import decode_mask
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask, Polygon, Shape

_NO_AREA = frozenset({"line", "linestrip", "point", "points"})
_RINGS = frozenset({"polygon", "quadrilateral"})
"""Shapes given by their corners; the last is X-AnyLabeling's."""

_TURNED = frozenset({"rotation", "oriented_rectangle", "rotated_rectangle", "rotated_box"})
"""Boxes given by four corners, as X-AnyLabeling and newer releases of LabelMe call them."""


def read_labelme(path: Path, options: ImportOptions) -> ImportSource:
    """Reads LabelMe files in order of their names; ``path`` is a folder or one file.

    Polygons, rectangles, circles and masks are taken; lines and points are left out. Shapes with
    the same label and ``group_id`` are one region.

    Raises:
        FileFormatError: The folder is missing or has no JSON file.
    """
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.suffix.lower() == ".json" and p.is_file())
        names = sorted(p.relative_to(path).as_posix() for p in found)
        folder = path
    else:
        names, folder = [path.name], path.parent
    if not names or not path.exists():
        raise FileFormatError(
            f"{path} holds no JSON file of LabelMe.", remedy="Give the folder with its files."
        )
    for number, name in enumerate(names, start=1):
        try:
            yield _image(number, folder / name, name, options)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_image", str(error))


def _image(number: int, path: Path, key: str, options: ImportOptions) -> ImportedImage:
    # imageData holds the whole image: a file may be larger than a piece of an export.
    try:
        raw = path.read_bytes() if path.stat().st_size <= 8 * MAX_PIECE_BYTES else b""
    except OSError as error:
        raise FileFormatError(f"{path} can't be read: {error.strerror}.") from error
    value = Piece("", "", 0, 0, _utf8(raw), path.name).parse(takes_nan=True)
    shapes = value.get("shapes") if isinstance(value, dict) else None
    if not isinstance(shapes, list):
        raise FileFormatError(f"{path.name} is no file of LabelMe: it has no list 'shapes'.")
    said = value.get("imagePath")
    is_named = isinstance(said, str) and bool(said.strip())
    name = _below(PurePosixPath(key).parent, str(said)) if is_named else f"{path.stem}.png"
    regions = Regions(number, name, options.default_class)
    for i, shape in enumerate(shapes, start=1):
        _add(i, shape, regions)
    return ImportedImage(
        number=number,
        key=key,
        stamp=hashlib.sha256(raw).hexdigest(),
        file_name=name,
        size_hw=size_of_image(value.get("imageHeight"), value.get("imageWidth")) or _size_of(value),
        regions=regions.found,
        notes=tuple(regions.items),
        is_empty=not shapes,
        stems=() if is_named else (path.stem,),
    )


def _utf8(raw: bytes) -> bytes:
    """Without its byte order mark; UTF-16, as editors on Windows save it, as UTF-8."""
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        try:
            return raw.decode("utf-16").encode()
        except UnicodeError:
            return raw  # its error is reported when it is parsed
    return raw.removeprefix(codecs.BOM_UTF8)


def _below(folder: PurePosixPath, said: str) -> str:
    """The image's name with the folders that imagePath and its file's own place name.

    A path that leads out of the folder (``../images/a.png``) says nothing about where images are.
    """
    path = PurePosixPath(said.strip().replace("\\", "/"))
    is_inside = not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
    return str(folder / path) if is_inside else str(folder / path.name)


def _size_of(value: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) of imageData, for version 3, which does not name the size."""
    data = value.get("imageData")
    if not isinstance(data, str):
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            return image.height, image.width
    except UNREADABLE:
        return None  # the image's own file may say


def _add(number: int, shape: Any, regions: Regions) -> None:
    if not isinstance(shape, dict):
        regions.add(number, "malformed_region", f"is no object but {type(shape).__name__}")
        return
    label = shape.get("label")
    label = str(label) if isinstance(label, int) and not isinstance(label, bool) else label
    label = label.strip() if isinstance(label, str) else ""
    kind = str(shape.get("shape_type") or "polygon")[:40].lower()
    if kind in _NO_AREA:
        regions.add(number, "no_area", f"is a {kind} and has no area")
        return
    group = shape.get("group_id")
    group = group if isinstance(group, int | str) and group != "" else None
    regions.read(number, label, lambda: (_shape(kind, shape),), group=group)


def _shape(kind: str, shape: dict[str, Any]) -> Shape:
    points = with_numbers(shape.get("points"))
    if kind in _RINGS:
        return Polygon(ring_of(points))
    is_cornered = kind == "rectangle" and isinstance(points, list) and len(points) in (4, 5)
    if kind in _TURNED or is_cornered:  # X-AnyLabeling gives all four corners
        return box_of_corners(points)
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
        return box_between(left, top, right, bottom)
    if kind == "mask":
        return _mask(shape.get("mask"), (left, top, right, bottom))
    raise ValueError(f"has the unknown shape {kind!r}")


def _mask(text: Any, box: tuple[float, float, float, float]) -> PixelMask:
    """LabelMe's mask: a PNG of the box's size in base64. ``box``: left, top, right, bottom."""
    if not isinstance(text, str):
        raise ValueError("is a mask without pixels")
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        inside = decode_mask(base64.b64decode(encoded, validate=True), "its mask").label_map > 0
    except binascii.Error as error:
        raise ValueError(f"is a mask that is no base64 ({error})") from error
    except FileFormatError as error:
        raise ValueError(f"has a mask that can't be used: {error}".rstrip(".")) from error
    left, top, right, bottom = box
    height, width = inside.shape
    # LabelMe's box ends in the last row and column, other tools' behind them.
    if abs(bottom - top + 0.5 - height) > 1 or abs(right - left + 0.5 - width) > 1:
        raise ValueError(
            f"has a mask of {width} x {height} pixels in a box of {right - left:g} x "
            f"{bottom - top:g}"
        )
    return cut_mask(inside, round(top), round(left))


FORMAT = ImportFormat("labelme", "a folder of LabelMe JSON files", read_labelme)
