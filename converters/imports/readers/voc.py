"""Pascal VOC: one XML file per image, boxes and (of some tools) polygons."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from converters.bookkeeping.json_stream import MAX_PIECE_BYTES
from converters.imports.readers.shapes import (
    box_around,
    box_between,
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
    Notes,
    Regions,
)
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
        files = sorted(folder.glob("*.xml")) or sorted(folder.rglob("*.xml"))
    if not files:
        raise FileFormatError(
            f"{path} holds no XML file of Pascal VOC.", remedy="Give the folder with its files."
        )
    for number, file in enumerate(files, start=1):
        inside = () if path.is_file() else file.parent.relative_to(folder).parts
        try:
            yield _image(number, file, inside, options)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_image", str(error))


def _image(
    number: int, file: Path, inside: tuple[str, ...], options: ImportOptions
) -> ImportedImage:
    """``inside``: the folders that the file lies in below its source; its image may, too."""
    try:
        raw = file.read_bytes() if file.stat().st_size <= MAX_PIECE_BYTES else b""
        root: Element = ElementTree.fromstring(raw)
    except OSError as error:
        raise FileFormatError(f"{file} can't be read: {error.strerror}.") from error
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise FileFormatError(f"{file.name} is no XML nnloop reads: {error}.") from error
    if root.tag != "annotation":
        raise FileFormatError(f"{file.name} is no file of Pascal VOC: it is a <{root.tag[:40]}>.")
    said = (root.findtext("filename") or "").strip().replace("\\", "/")
    name = "/".join((*inside, PurePosixPath(said).name if said else f"{file.stem}.jpg"))
    regions = Regions(number, name, options.default_class)
    objects = [element for element in root.iter("object") if element.findtext("deleted") != "1"]
    for i, element in enumerate(objects, start=1):
        label = (element.findtext("name") or "").strip()
        regions.read(i, label, partial(_polygons, element, i, regions))
    image = file.parent.parent / _IMAGES / PurePosixPath(name).name
    return ImportedImage(
        number=number,
        key="/".join((*inside, file.name)),
        stamp=hashlib.sha256(raw).hexdigest(),
        file_name=name,
        size_hw=size_of_image(root.findtext("size/height"), root.findtext("size/width")),
        regions=regions.found,
        notes=tuple(regions.items),
        is_empty=not objects,
        # Some tools write the name without its ending.
        stems=() if PurePosixPath(said).suffix else (PurePosixPath(name).stem,),
        path=image if file.parent.name == _FOLDER and image.is_file() else None,
    )


def _polygons(element: Element, number: int, notes: Notes) -> tuple[Polygon, ...]:
    polygon = element.find("polygon")
    box = element.find("bndbox")
    if polygon is not None:
        try:
            return (Polygon(ring_of(_points(polygon))),)
        except ValueError as error:
            if box is None or not str(error).endswith("no area"):
                raise
            notes.add(number, "box_only", f"has a polygon that {error}; its box was taken")
    turned = element.find("robndbox")
    if box is None and turned is not None:
        return (_turned(turned),)
    if box is None:
        raise ValueError("has neither a box nor a polygon")
    left, top, right, bottom = (_number(box, key) for key in ("xmin", "ymin", "xmax", "ymax"))
    # Some tools write the corners as they were drawn, from any side.
    (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
    return (box_between(left, top, right, bottom),)


def _points(polygon: Element) -> list[list[float]]:
    """LabelMe's ``pt`` elements, or ``x1``, ``y1``, ``x2``, ... of others."""
    points = [[_number(pt, "x"), _number(pt, "y")] for pt in polygon.iter("pt")]
    n = 1
    while not polygon.findall("pt") and polygon.find(f"x{n}") is not None:
        points.append([_number(polygon, f"x{n}"), _number(polygon, f"y{n}")])
        n += 1
    return points


def _turned(box: Element) -> Polygon:
    """RoLabelImg's box: centre, size, and radians clockwise on the screen."""
    x, y, width, height, angle = (_number(box, key) for key in ("cx", "cy", "w", "h", "angle"))
    return turned_box(box_around((x, y), (width, height)), angle)


def _number(element: Element, key: str) -> float:
    return number_of(element.findtext(key), key)


FORMAT = ImportFormat("voc", "a folder of Pascal VOC (XML)", read_voc)
