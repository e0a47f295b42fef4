"""CVAT for images 1.1: one XML file with the shapes of all images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError, tostring

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from converters.imports.readers.shapes import (
    box_between,
    cut_mask,
    ellipse_polygon,
    number_of,
    ring_of,
    size_of_image,
    turned_box,
)
from converters.imports.source import (
    ImportedImage,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Regions,
)
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import MAX_PIXELS, PixelMask, Polygon, Shape

_NO_AREA = frozenset({"polyline", "points", "cuboid", "skeleton"})
_NO_SHAPES = frozenset({"tag"})
"""What CVAT says of the whole image."""


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
    for event, element in _events(stream):
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
            elif element.tag == "track":
                raise FileFormatError(
                    f"{file.name} holds the tracks of a video, not images.",
                    remedy="Export the task as 'CVAT for images 1.1'.",
                )
            root.remove(element)


def _events(stream: IO[bytes]) -> Iterator[tuple[str, Element]]:
    try:
        yield from ElementTree.iterparse(stream, events=("start", "end"))
    except (LookupError, ValueError) as error:  # an encoding that nobody knows
        raise ParseError(str(error)) from error


def _image(number: int, element: Element, options: ImportOptions) -> ImportedImage | LeftOut:
    name = element.get("name", "")
    if not name:
        return LeftOut(number, "malformed_image", f"Image {number} of the file has no name.")
    size_hw = size_of_image(element.get("height"), element.get("width"))
    regions = Regions(number, name, options.default_class)
    digest = hashlib.sha256(tostring(element))
    drawn = sorted(
        ((i, shape) for i, shape in enumerate(element, start=1) if shape.tag not in _NO_SHAPES),
        key=lambda pair: (_order(pair[1]), pair[0]),
    )
    for i, shape in drawn:
        if shape.tag in _NO_AREA:
            regions.add(i, "no_area", f"is a {shape.tag} and has no area")
        elif shape.get("outside") == "1":
            regions.add(i, "outside_image", "is marked as outside the image")
        else:
            regions.read(i, shape.get("label", "").strip(), partial(_shapes, shape))
    if not drawn and len(element):
        regions.add(
            1, "no_area", "is a tag of the whole image, which need not mean that it is empty"
        )
    return ImportedImage(
        number=number,
        key=name,
        stamp=digest.hexdigest(),
        file_name=name,
        size_hw=size_hw,
        regions=regions.found,
        notes=tuple(regions.items),
        is_empty=len(element) == 0,
    )


def _order(shape: Element) -> float:
    """How far in front it lies; what says nothing usable lies behind."""
    try:
        return _number(shape, "z_order", 0.0)
    except ValueError:
        return 0.0


def _shapes(shape: Element) -> tuple[Shape, ...]:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]
        ring = [[number_of(text, "the coordinate") for text in pair] for pair in pairs]
        return (Polygon(ring_of(ring)),)
    if shape.tag == "mask":
        return (_mask(shape),)
    if shape.tag not in ("ellipse", "box"):
        raise ValueError(f"has the unknown shape {shape.tag[:40]!r}")
    radians = math.radians(_number(shape, "rotation", 0.0))
    if shape.tag == "ellipse":
        x, y, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        if rx <= 0 or ry <= 0:
            raise ValueError("is an ellipse without area")
        return (ellipse_polygon((x, y), (rx, ry), radians),)
    left, top, right, bottom = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    return (turned_box(box_between(left, top, right, bottom), radians),)


def _mask(shape: Element) -> PixelMask:
    """CVAT's RLE: runs along the rows of a box, outside first."""
    keys = ("top", "left", "height", "width")
    top, left, height, width = (int(_number(shape, key)) for key in keys)
    runs = [
        int(number_of(text, "the run")) for text in shape.get("rle", "").split(",") if text.strip()
    ]
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError("is a mask with a box that is none")
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"is a mask whose runs do not add up to {height} x {width} pixels")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return cut_mask(inside, top, left)


def _number(shape: Element, key: str, otherwise: float | None = None) -> float:
    text = shape.get(key)
    if text is None and otherwise is not None:
        return otherwise
    return number_of(text, key)


FORMAT = ImportFormat("cvat", "CVAT for images 1.1 (XML)", read_cvat)
