"""VGG Image Annotator (VIA): JSON of versions 1 and 2, and its project files.

Regions are a list (2.x) or an object (1.x); coordinates are pixels. A file of annotations maps keys
to images; a project file has them under ``_via_img_metadata``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converters.bookkeeping.json_stream import Piece, iter_json
from converters.imports.readers.shapes import (
    box_polygon,
    ellipse_polygon,
    is_coordinate,
    ring_of,
    with_numbers,
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
from domain.geometry import Polygon

_METADATA = "_via_img_metadata"


def read_via(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a VIA file image by image.

    Polygons, rectangles, circles and ellipses become polygons; polylines and points are left out.
    The class is the region attribute ``options.class_key``, or the one most regions have.

    Raises:
        FileFormatError: It is no VIA file.
    """
    class_key = options.class_key or _usual_key(path)
    number = 0
    for piece in _images(path):
        number += 1
        try:
            value = piece.parse(takes_nan=True)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_image", str(error))
            continue
        name = value.get("filename") if isinstance(value, dict) else None
        regions = _regions(value)
        if not isinstance(name, str) or not name or regions is None:
            message = f"{piece.place} is no image of VIA: it has no filename or no regions."
            yield LeftOut(number, "malformed_image", message)
            continue
        found = Regions(number, name, options.default_class)
        for i, region in enumerate(regions, start=1):
            _add(i, region, class_key, found)
        yield ImportedImage(
            number=number,
            key=piece.key or name,
            stamp=hashlib.sha256(piece.raw).hexdigest(),
            file_name=name,
            size_hw=None,
            regions=found.found,
            notes=tuple(found.items),
            is_empty=not regions,
        )


def _images(path: Path) -> Iterator[Piece]:
    is_empty = True
    for piece in iter_json(path, into=(_METADATA,)):
        if not piece.key:
            raise FileFormatError(
                f"{piece.place} is not what VIA writes: an object of images.",
                remedy="Export the annotations as JSON in VIA.",
            )
        if is_empty and piece.key == "project" and b"vid_list" in piece.raw:
            raise FileFormatError(
                f"{path.name} is a project of VIA 3, which nnloop does not read.",
                remedy="Convert it to COCO and import that.",
            )
        is_empty = False
        # A project file has settings and attributes beside the images.
        if piece.group == _METADATA or not piece.key.startswith("_via_"):
            yield piece
    if is_empty:
        raise FileFormatError(
            f"{path.name} holds no images.", remedy="Export the annotations as JSON in VIA."
        )


def _usual_key(path: Path) -> str:
    """The attribute that most regions have; the first of several."""
    counts: Counter[str] = Counter()
    for piece in _images(path):
        try:
            regions = _regions(piece.parse(takes_nan=True)) or []
        except FileFormatError:
            continue  # reported when the images are read
        for region in regions:
            attributes = region.get("region_attributes") if isinstance(region, dict) else None
            if isinstance(attributes, dict):
                counts.update(k for k, v in attributes.items() if _class_in(v) and len(k) < 200)
        if len(counts) > 1000:
            break
    return max(counts, key=lambda k: counts[k]) if counts else ""


def _regions(value: Any) -> list[Any] | None:
    regions = value.get("regions") if isinstance(value, dict) else None
    if isinstance(regions, dict):
        return list(regions.values())
    return regions if isinstance(regions, list) else None


def _class_in(value: Any) -> str:
    """The class in an attribute: a text, or the ticked one of several boxes."""
    if isinstance(value, dict):
        ticked = [str(name) for name, is_on in value.items() if is_on is True]
        return ticked[0].strip() if len(ticked) == 1 else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _add(number: int, region: Any, class_key: str, regions: Regions) -> None:
    attributes = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(attributes, dict):
        regions.add(number, "malformed_region", "has no shape_attributes")
        return
    about = region.get("region_attributes")
    class_name = _class_in(about.get(class_key)) if isinstance(about, dict) else ""
    attributes = {key: with_numbers(value) for key, value in attributes.items()}
    kind = attributes.get("name")
    if kind in ("polyline", "point"):
        regions.add(number, "no_area", f"is a {kind} and has no area")
        return
    regions.read(number, class_name, lambda: (_polygon(kind, attributes),))


def _polygon(kind: Any, attributes: dict[str, Any]) -> Polygon:
    if kind == "polygon":
        xs, ys = attributes.get("all_points_x"), attributes.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            raise ValueError("has no equally long all_points_x and all_points_y")
        return Polygon(ring_of([list(pair) for pair in zip(xs, ys, strict=True)]))
    fields = {
        "rect": ("x", "y", "width", "height"),
        "circle": ("cx", "cy", "r"),
        "ellipse": ("cx", "cy", "rx", "ry"),
    }.get(kind if isinstance(kind, str) else "")
    if fields is None:
        raise ValueError(f"has the unknown shape {str(kind)[:40]!r}")
    numbers = [float(n) for n in map(attributes.get, fields) if is_coordinate(n)]
    if kind == "rect" and len(numbers) == len(fields) and all(numbers[2:]):
        x, y, width, height = numbers  # drawn from its other corner, a size is negative
        return box_polygon(min(x, x + width), min(y, y + height), abs(width), abs(height))
    if len(numbers) < len(fields) or min(numbers[2:]) <= 0:
        raise ValueError(f"has no usable {', '.join(fields)}")
    x, y, *sizes = numbers
    theta = attributes.get("theta", 0.0)
    return ellipse_polygon((x, y), (sizes[0], sizes[-1]), theta if is_coordinate(theta) else 0.0)


FORMAT = ImportFormat("via", "VGG Image Annotator JSON, versions 1 and 2", read_via, is_file=True)
