"""COCO instances: polygons, RLE, boxes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from converters.coco_rle import decode_rle
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
from converters.json_stream import Piece, iter_json
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask, Polygon, Shape

_MAX_CATEGORIES = 10_000
_LARGEST_ID = 2**63 - 1


def read_coco(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a COCO file image by image; annotations may come in any order.

    Polygons of one annotation are united; an RLE becomes its pixels; an annotation with a box only
    becomes the box. Memory does not grow with the file: a temporary database sorts it.

    Raises:
        FileFormatError: It is no COCO file.
    """
    with closing(sqlite3.connect("")) as db:
        db.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, place TEXT, raw BLOB)")
        db.execute("CREATE TABLE annotations (image_id INTEGER, raw BLOB)")
        faults: list[LeftOut] = []
        categories = _load(path, db, faults)
        db.execute("CREATE INDEX by_image ON annotations (image_id)")
        yield from faults
        rows = db.execute("SELECT id, place, raw FROM images ORDER BY rowid")
        for number, (image_id, place, raw) in enumerate(rows, start=1):
            found = db.execute(
                "SELECT raw FROM annotations WHERE image_id = ? ORDER BY rowid", (image_id,)
            )
            yield _image(number, json.loads(raw), place, (r[0] for r in found), categories, options)
        lost = "SELECT count(*) FROM annotations WHERE image_id NOT IN (SELECT id FROM images)"
        (n_lost,) = db.execute(lost).fetchone()
        if n_lost:
            message = f"{n_lost} annotation(s) belong to images the file lacks."
            yield LeftOut(0, "image_unknown", message)


def _load(path: Path, db: sqlite3.Connection, faults: list[LeftOut]) -> dict[int, str]:
    categories: dict[int, str] = {}
    groups = set()
    for piece in iter_json(path, into=("images", "annotations", "categories")):
        groups.add(piece.group)
        if piece.group not in ("images", "annotations", "categories"):
            continue
        try:
            _keep(piece, db, categories)
        except FileFormatError as error:
            faults.append(LeftOut(0, "malformed_entry", str(error)))
            if len(faults) > 1000:
                raise
    if "images" not in groups:
        raise FileFormatError(
            f"{path.name} is no COCO file: it has no list 'images' with an entry.",
            remedy="Give a file of COCO instances.",
        )
    return categories


def _keep(piece: Piece, db: sqlite3.Connection, categories: dict[int, str]) -> None:
    row = piece.parse()
    key = "image_id" if piece.group == "annotations" else "id"
    row_id = row.get(key) if isinstance(row, dict) else None
    if not isinstance(row_id, int) or isinstance(row_id, bool) or abs(row_id) > _LARGEST_ID:
        raise FileFormatError(f"{piece.place} has no whole number {key!r}.")
    if piece.group == "annotations":
        db.execute("INSERT INTO annotations VALUES (?, ?)", (row_id, piece.raw))
    elif piece.group == "categories":
        name = row.get("name")
        if not isinstance(name, str) or not name or len(categories) >= _MAX_CATEGORIES:
            raise FileFormatError(f"{piece.place} has no name.")
        categories[row_id] = name
    else:
        try:
            db.execute("INSERT INTO images VALUES (?, ?, ?)", (row_id, piece.place, piece.raw))
        except sqlite3.IntegrityError:
            raise FileFormatError(f"{piece.place} has the id {row_id} of another image.") from None


def _image(
    number: int,
    row: dict[str, Any],
    place: str,
    annotations: Iterator[bytes],
    categories: dict[int, str],
    options: ImportOptions,
) -> ImportedImage | LeftOut:
    name, width, height = row.get("file_name"), row.get("width"), row.get("height")
    if not isinstance(name, str) or not name:
        return LeftOut(number, "malformed_image", f"{place} has no file_name.")
    size_hw = (height, width) if is_size(height) and is_size(width) else None
    digest = hashlib.sha256(json.dumps([name, size_hw, sorted(categories.items())]).encode())
    notes = Notes(number, name)
    regions = []
    for i, raw in enumerate(annotations, start=1):
        digest.update(raw)
        annotation = json.loads(raw)
        region = annotation.get("id", i)
        category = annotation.get("category_id")
        known = categories.get(category) if isinstance(category, int) else None
        class_name = known or options.default_class
        if not class_name:
            notes.add(region, "no_class", "has a category the file lacks")
            continue
        try:
            shapes = _shapes(annotation, size_hw)
        except ValueError as error:
            notes.add(region, "malformed_region", str(error))
            continue
        if not annotation.get("segmentation"):
            notes.add(region, "box_only", "has no segmentation; its box was taken")
        regions.append(ImportedShape(class_name, shapes))
    return ImportedImage(
        number=number,
        key=name,
        stamp=digest.hexdigest(),
        file_name=name,
        size_hw=size_hw,
        regions=tuple(regions),
        notes=tuple(notes.items),
    )


def _shapes(annotation: dict[str, Any], size_hw: tuple[int, int] | None) -> tuple[Shape, ...]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and segmentation:
        return tuple(_polygon(flat) for flat in segmentation)
    if isinstance(segmentation, dict):
        if size_hw is None:
            raise ValueError("is an RLE, but its image has no width and height")
        mask = decode_rle(segmentation, size_hw)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0:
            raise ValueError("covers no pixel")
        window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return (PixelMask(int(rows[0]), int(columns[0]), window),)
    box = annotation.get("bbox")
    if (
        isinstance(box, list)
        and len(box) == 4
        and all(map(is_coordinate, box))
        and min(box[2:]) > 0
    ):
        return (box_polygon(*map(float, box)),)
    raise ValueError("has neither a segmentation nor a box")


def _polygon(flat: Any) -> Polygon:
    if not isinstance(flat, list) or len(flat) % 2:
        raise ValueError("has a polygon that is no list of x, y, x, y, ...")
    return Polygon(ring_of([flat[i : i + 2] for i in range(0, len(flat), 2)]))


FORMAT = ImportFormat("coco", "COCO instances: polygons, RLE, boxes", read_coco)
