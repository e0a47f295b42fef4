"""CVAT for images 1.1: one XML file with the shapes of all images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError, tostring

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from converters.images import MAX_PIXELS
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
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask, Polygon, Shape

_NO_AREA = frozenset({"polyline", "points", "cuboid", "skeleton"})
_SHAPES = frozenset({"polygon", "box", "ellipse", "mask"}) | _NO_AREA


def read_cvat(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a file of CVAT image by image; ``path`` may be the folder with annotations.xml.

    Polygons, boxes, ellipses and masks are taken, in the order in which CVAT draws them. Boxes and
    ellipses may be turned.

    Raises:
        FileFormatError: It is no file of CVAT for images.
    """
    file = path / "annotations.xml" if path.is_dir() else path
    number = 0
    try:
        with file.open("rb") as stream:
            for number, element in enumerate(_images(stream, file), start=1):
                yield _image(number, element, options)
                element.clear()  # what was read is not kept
    except OSError as error:
        raise FileFormatError(f"{file} can't be read: {error.strerror}.") from error
    except (ParseError, DefusedXmlException) as error:
        raise FileFormatError(
            f"{file.name} is no XML nnloop reads: {error}.",
            remedy="Export it again as 'CVAT for images 1.1'.",
        ) from error
    if number == 0:
        raise FileFormatError(
            f"{file.name} holds no images of CVAT.", remedy="Export it as 'CVAT for images 1.1'."
        )


def _images(stream: IO[bytes], file: Path) -> Iterator[Element]:
    depth = 0
    root: Element | None = None
    for event, element in ElementTree.iterparse(stream, events=("start", "end")):
        if event == "start":
            if root is None:
                root = element
                if element.tag != "annotations":
                    raise FileFormatError(
                        f"{file.name} is no file of CVAT: it starts with <{element.tag[:40]}>.",
                        remedy="Export it as 'CVAT for images 1.1'.",
                    )
            depth += 1
            continue
        depth -= 1
        if depth == 1 and root is not None:
            if element.tag == "image":
                yield element
            root.remove(element)


def _image(number: int, element: Element, options: ImportOptions) -> ImportedImage | LeftOut:
    name = element.get("name", "")
    if not name:
        return LeftOut(number, "malformed_image", f"Image {number} of the file has no name.")
    size_hw = _size(element)
    notes = Notes(number, name)
    digest = hashlib.sha256(tostring(element))
    drawn = sorted(
        ((i, shape) for i, shape in enumerate(element, start=1) if shape.tag in _SHAPES),
        key=lambda pair: (_number(pair[1], "z_order", 0.0), pair[0]),
    )
    regions = []
    for i, shape in drawn:
        label = shape.get("label", "").strip() or options.default_class
        if shape.tag in _NO_AREA:
            notes.add(i, "no_area", f"is a {shape.tag} and has no area")
        elif not label:
            notes.add(i, "no_class", "has no label; --default-class gives it one")
        else:
            try:
                regions.append(ImportedShape(label, (_shape(shape, size_hw),)))
            except ValueError as error:
                notes.add(i, "malformed_region", str(error))
    return ImportedImage(
        number=number,
        key=name,
        stamp=digest.hexdigest(),
        file_name=name,
        size_hw=size_hw,
        regions=tuple(regions),
        notes=tuple(notes.items),
        is_empty=not drawn,
    )


def _size(element: Element) -> tuple[int, int] | None:
    texts = (element.get("height", ""), element.get("width", ""))
    sizes = [int(text) for text in texts if text.isdecimal() and len(text) < 9]
    return (sizes[0], sizes[1]) if len(sizes) == 2 and all(map(is_size, sizes)) else None


def _shape(shape: Element, size_hw: tuple[int, int] | None) -> Shape:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]
        return Polygon(ring_of([[_float(text) for text in pair] for pair in pairs]))
    if shape.tag == "mask":
        return _mask(shape, size_hw)
    radians = math.radians(_number(shape, "rotation", 0.0))
    if shape.tag == "ellipse":
        x, y, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        if rx <= 0 or ry <= 0:
            raise ValueError("is an ellipse without area")
        return ellipse_polygon((x, y), (rx, ry), radians)
    left, top, right, bottom = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    if right <= left or bottom <= top:
        raise ValueError("is a box without area")
    box = box_polygon(left, top, right - left, bottom - top)
    if not radians:
        return box
    cos, sin = math.cos(radians), math.sin(radians)
    centre = box.exterior.mean(axis=0)
    turn = np.array([[cos, sin], [-sin, cos]])  # clockwise on the screen, about the centre
    return Polygon((box.exterior - centre) @ turn + centre)


def _mask(shape: Element, size_hw: tuple[int, int] | None) -> PixelMask:
    """CVAT's RLE: runs along the rows of a box, outside first."""
    keys = ("top", "left", "height", "width")
    top, left, height, width = (int(_number(shape, key)) for key in keys)
    runs = [int(_float(text)) for text in shape.get("rle", "").split(",") if text.strip()]
    limit = size_hw[0] * size_hw[1] if size_hw is not None else MAX_PIXELS
    if top < 0 or left < 0 or height < 1 or width < 1 or height * width > limit:
        raise ValueError("is a mask with a box that is none")
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"is a mask whose runs do not add up to {height} x {width} pixels")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    if not inside.any():
        raise ValueError("covers no pixel")
    return PixelMask(top, left, inside)


def _number(shape: Element, key: str, otherwise: float | None = None) -> float:
    text = shape.get(key)
    if text is None and otherwise is not None:
        return otherwise
    return _float(text or "")


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_coordinate(value):
        raise ValueError(f"holds {text[:20]!r}, which is no number of pixels")
    return value


FORMAT = ImportFormat("cvat", "CVAT for images 1.1 (XML)", read_cvat)
