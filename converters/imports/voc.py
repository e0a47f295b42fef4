"""Pascal VOC: one XML file per image, boxes and (of some tools) polygons."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from converters.imports.source import (
    ImportedImage,
    ImportedShape,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Notes,
    box_polygon,
    is_coordinate,
    is_size,
    ring_of,
)
from converters.json_stream import MAX_PIECE_BYTES
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import Polygon

_FOLDER = "Annotations"
_IMAGES = "JPEGImages"


def read_voc(path: Path, options: ImportOptions) -> ImportSource:
    """Reads files of Pascal VOC in order of their names.

    ``path`` is the folder with them, the one above it (with ``Annotations`` and ``JPEGImages``), or
    one file. An object's polygon counts, else its box; corners are taken as points between pixels,
    as today's tools write them. The pixels of ``SegmentationClass`` are masks: import that folder
    with ``masks``.

    Raises:
        FileFormatError: There is no XML file.
    """
    folder = path / _FOLDER if (path / _FOLDER).is_dir() else path
    files = [path]
    if not path.is_file():
        files = sorted(folder.glob("*.xml")) if folder.is_dir() else []
    if not files:
        raise FileFormatError(
            f"{path} holds no XML file of Pascal VOC.", remedy="Give the folder with its files."
        )
    for number, file in enumerate(files, start=1):
        try:
            yield _image(number, file, options)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_image", str(error))


def _image(number: int, file: Path, options: ImportOptions) -> ImportedImage:
    try:
        raw = file.read_bytes() if file.stat().st_size <= MAX_PIECE_BYTES else b""
        root: Element = ElementTree.fromstring(raw)
    except OSError as error:
        raise FileFormatError(f"{file} can't be read: {error.strerror}.") from error
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise FileFormatError(f"{file.name} is no XML nnloop reads: {error}.") from error
    if root.tag != "annotation":
        raise FileFormatError(f"{file.name} is no file of Pascal VOC: it is a <{root.tag[:40]}>.")
    said = (root.findtext("filename") or "").strip().replace("\\", "/")
    name = PurePosixPath(said).name if said else f"{file.stem}.jpg"
    notes = Notes(number, name)
    regions = []
    objects = [element for element in root.iter("object") if element.findtext("deleted") != "1"]
    for i, element in enumerate(objects, start=1):
        label = (element.findtext("name") or "").strip() or options.default_class
        if not label:
            notes.add(i, "no_class", "has no name; --default-class gives it one")
            continue
        try:
            regions.append(ImportedShape(label, (_polygon(element),)))
        except ValueError as error:
            notes.add(i, "malformed_region", str(error))
    image = file.parent.parent / _IMAGES / name
    return ImportedImage(
        number=number,
        key=file.name,
        stamp=hashlib.sha256(raw).hexdigest(),
        file_name=name,
        size_hw=_size(root.find("size")),
        regions=tuple(regions),
        notes=tuple(notes.items),
        is_empty=not objects,
        # Some tools write the name without its ending.
        stems=() if PurePosixPath(said).suffix else (PurePosixPath(name).stem,),
        path=image if file.parent.name == _FOLDER and image.is_file() else None,
    )


def _size(size: Element | None) -> tuple[int, int] | None:
    if size is None:
        return None
    values = [int(_number(size, key)) for key in ("height", "width") if _has_number(size, key)]
    return (values[0], values[1]) if len(values) == 2 and all(map(is_size, values)) else None


def _polygon(element: Element) -> Polygon:
    polygon = element.find("polygon")
    if polygon is not None:
        points = [[_number(pt, "x"), _number(pt, "y")] for pt in polygon.iter("pt")]
        n = 1
        while not polygon.findall("pt") and polygon.find(f"x{n}") is not None:
            points.append([_number(polygon, f"x{n}"), _number(polygon, f"y{n}")])
            n += 1
        return Polygon(ring_of(points))
    box = element.find("bndbox")
    turned = element.find("robndbox")
    if box is None and turned is not None:
        return _turned(turned)
    if box is None:
        raise ValueError("has neither a box nor a polygon")
    left, top, right, bottom = (_number(box, key) for key in ("xmin", "ymin", "xmax", "ymax"))
    if right <= left or bottom <= top:
        raise ValueError("is a box without area")
    return box_polygon(left, top, right - left, bottom - top)


def _turned(box: Element) -> Polygon:
    """RoLabelImg's box: centre, size, and radians clockwise on the screen."""
    x, y, width, height, angle = (_number(box, key) for key in ("cx", "cy", "w", "h", "angle"))
    if width <= 0 or height <= 0:
        raise ValueError("is a box without area")
    corners = box_polygon(-width / 2, -height / 2, width, height).exterior
    cos, sin = math.cos(angle), math.sin(angle)
    return Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + [x, y])


def _has_number(element: Element, key: str) -> bool:
    try:
        _number(element, key)
    except ValueError:
        return False
    return True


def _number(element: Element, key: str) -> float:
    text = (element.findtext(key) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_coordinate(value):
        raise ValueError(f"has {key} {text[:20]!r}, which is no number of pixels")
    return value


FORMAT = ImportFormat("voc", "a folder of Pascal VOC (XML)", read_voc)
