"""COCO instances: polygons, RLE, boxes."""

from __future__ import annotations

import hashlib
import json
import re
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
    whole_of,
)
from converters.json_stream import Piece, iter_json
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask, Polygon, Shape

_MAX_CATEGORIES = 10_000
_LARGEST_ID = 2**63 - 1
_LONGEST_ID = 1000


def read_coco(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a COCO file image by image; annotations may come in any order.

    Polygons of one annotation are united; an RLE becomes its pixels; an annotation whose
    segmentation has no area (``[]``, ``[[]]``, two corners) becomes its box. Ids are whole numbers
    or texts, and "1" is 1. Memory does not grow with the file: a temporary database sorts it.

    Raises:
        FileFormatError: It is no COCO file.
    """
    with closing(sqlite3.connect("")) as db:
        db.execute("CREATE TABLE images (id TEXT PRIMARY KEY, number TEXT, place TEXT, raw BLOB)")
        db.execute("CREATE TABLE annotations (image_id TEXT, raw BLOB)")
        faults: list[LeftOut] = []
        unread: list[str] = []
        categories = _load(path, db, faults, unread)
        key = _settle_ids(db)
        yield from faults
        # An annotation that can't be read may be any image's: none is known to be empty then.
        rows = db.execute(f"SELECT {key}, place, raw FROM images ORDER BY rowid")  # noqa: S608
        for number, (image_id, place, raw) in enumerate(rows, start=1):
            found = db.execute(
                "SELECT raw FROM annotations WHERE image_id = ? ORDER BY rowid", (image_id,)
            )
            yield _image(
                number, json.loads(raw), place, (r[0] for r in found), categories, unread, options
            )
        (n_lost,) = db.execute(
            f"SELECT count(*) FROM annotations WHERE image_id NOT IN (SELECT {key} FROM images)"  # noqa: S608
        ).fetchone()
        if n_lost:
            message = f"{n_lost} annotation(s) belong to images the file lacks."
            yield LeftOut(0, "image_unknown", message)


def _settle_ids(db: sqlite3.Connection) -> str:
    """Which column tells the images apart: ``number`` ("0001" is 1) unless that makes two one."""
    query = "SELECT count(*), count(DISTINCT number) FROM images"
    n_images, n_numbers = db.execute(query).fetchone()
    key = "number" if n_images == n_numbers else "id"
    if key == "number":
        db.create_function("as_number", 1, _as_number, deterministic=True)
        db.execute("UPDATE annotations SET image_id = as_number(image_id)")
    db.execute("CREATE INDEX by_image ON annotations (image_id)")
    db.execute("CREATE INDEX by_number ON images (number)")
    return key


def _id_of(value: object) -> str | None:
    """An id as text; None when it is neither a whole number nor a text."""
    if isinstance(value, str) and value.strip() and len(value) <= _LONGEST_ID:
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID:
        return str(value)
    return None


def _as_number(text: str) -> str:
    """A text of digits without leading zeros and ".0"; any other as it is."""
    return (
        str(int(float(text)))
        if re.fullmatch(r"\d{1,15}\.0+", text, re.ASCII)
        else (str(int(text)) if text.isascii() and text.isdecimal() else text)
    )


def _load(
    path: Path, db: sqlite3.Connection, faults: list[LeftOut], unread: list[str]
) -> dict[str, str]:
    categories: dict[str, str] = {}
    groups = set()
    for piece in iter_json(path, into=("images", "annotations", "categories")):
        groups.add(piece.group)
        if piece.group not in ("images", "annotations", "categories"):
            continue
        try:
            _keep(piece, db, categories)
        except FileFormatError as error:
            faults.append(LeftOut(0, "malformed_entry", str(error)))
            unread += [str(error)] if piece.group == "annotations" else []
            if len(faults) > 1000:
                raise
    if "images" not in groups:
        raise FileFormatError(
            f"{path.name} is no COCO file: it has no list 'images' with an entry.",
            remedy="Give a file of COCO instances.",
        )
    return categories


def _keep(piece: Piece, db: sqlite3.Connection, categories: dict[str, str]) -> None:
    row = piece.parse(takes_nan=True)
    key = "image_id" if piece.group == "annotations" else "id"
    row_id = _id_of(row.get(key)) if isinstance(row, dict) else None
    if row_id is None:
        raise FileFormatError(f"{piece.place} has no {key!r} that is a whole number or a text.")
    if piece.group == "annotations":
        db.execute("INSERT INTO annotations VALUES (?, ?)", (row_id, piece.raw))
    elif piece.group == "categories":
        name = row.get("name")
        name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
        if not isinstance(name, str) or not name or len(categories) >= 2 * _MAX_CATEGORIES:
            raise FileFormatError(f"{piece.place} has no name.")
        categories[row_id] = name
        categories.setdefault(_as_number(row_id), name)
    else:
        try:
            values = (row_id, _as_number(row_id), piece.place, piece.raw)
            db.execute("INSERT INTO images VALUES (?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            raise FileFormatError(f"{piece.place} has the id {row_id} of another image.") from None


def _image(
    number: int,
    row: dict[str, Any],
    place: str,
    annotations: Iterator[bytes],
    categories: dict[str, str],
    unread: list[str],
    options: ImportOptions,
) -> ImportedImage | LeftOut:
    name = row.get("file_name") or row.get("path")  # COCO Annotator's
    width, height = whole_of(row.get("width")), whole_of(row.get("height"))
    if not isinstance(name, str) or not name:
        return LeftOut(number, "malformed_image", f"{place} has no file_name.")
    size_hw = (height, width) if is_size(height) and is_size(width) else None
    digest = hashlib.sha256(json.dumps([name, size_hw, sorted(categories.items())]).encode())
    # nnloop's own export says so where several tasks have one image.
    task_id = row.get("task_id") if type(row.get("task_id")) is int else None
    notes = Notes(number, name)
    regions = []
    i = 0
    for i, raw in enumerate(annotations, start=1):
        digest.update(raw)
        annotation = json.loads(raw)
        region = annotation.get("id", i)
        category = _id_of(annotation.get("category_id"))
        known = categories.get(category) or categories.get(_as_number(category)) if category else ""
        class_name = known or options.default_class
        if not class_name:
            notes.add(region, "no_class", f"has the category {category!r}, which the file lacks")
            continue
        try:
            shapes = _shapes(annotation, size_hw, region, notes)
        except ValueError as error:
            notes.add(region, "malformed_region", str(error))
            continue
        regions.append(ImportedShape(class_name, shapes))
        size_hw = size_hw or _rle_size(annotation.get("segmentation"))
    if i == 0 and unread:
        notes.add("?", "malformed_entry", f"may be one that can't be read: {unread[0]}".rstrip("."))
    return ImportedImage(
        number=number,
        key=name if task_id is None else f"{name} of task {task_id}",
        stamp=digest.hexdigest(),
        file_name=name,
        size_hw=size_hw,
        regions=tuple(regions),
        notes=tuple(notes.items),
        is_empty=i == 0 and not unread,
        task_id=task_id,
    )


def _shapes(
    annotation: dict[str, Any], size_hw: tuple[int, int] | None, region: object, notes: Notes
) -> tuple[Shape, ...]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict) and segmentation:
        return (_pixels(segmentation, size_hw),)
    if isinstance(segmentation, str) and segmentation.strip():
        segmentation = _parsed(segmentation)
    if isinstance(segmentation, list) and any(map(_is_rle, segmentation)):
        parts = [part if _is_rle(part) else [part] for part in segmentation]
        each = [_shapes({"segmentation": part}, size_hw, region, notes) for part in parts]
        return tuple(shape for shapes in each for shape in shapes)
    polygons, faults = _polygons(segmentation)
    if polygons:
        for fault in faults:
            notes.add(region, "malformed_part", f"lost a part: it {fault}")
        return polygons
    box = annotation.get("bbox")
    if (
        isinstance(box, list)
        and len(box) == 4
        and all(map(is_coordinate, box))
        and min(box[2:]) > 0
        and not any("no list" in fault for fault in faults)
    ):
        why = f"has a segmentation that {faults[0]}" if faults else "has no segmentation"
        notes.add(region, "box_only", f"{why}; its box was taken")
        return (box_polygon(*map(float, box)),)
    raise ValueError(faults[0] if faults else "has neither a segmentation nor a box")


def _pixels(rle: dict[str, Any], size_hw: tuple[int, int] | None) -> PixelMask:
    size_hw = size_hw or _rle_size(rle)
    if size_hw is None:
        raise ValueError("is an RLE without a size, and its image has no width and height")
    mask = decode_rle(rle, size_hw)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise ValueError("covers no pixel")
    window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return PixelMask(int(rows[0]), int(columns[0]), window)


def _is_rle(part: object) -> bool:
    return isinstance(part, dict) and "counts" in part


def _rle_size(rle: Any) -> tuple[int, int] | None:
    size = rle.get("size") if isinstance(rle, dict) else None
    if not isinstance(size, list) or len(size) != 2 or not all(map(is_size, size)):
        return None
    return size[0], size[1]


def _parsed(text: str) -> Any:
    """A segmentation that came through a table, as text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, str):
        raise ValueError(f"has the segmentation {text[:40]!r}, which is none")
    return value


def _polygons(segmentation: Any) -> tuple[tuple[Polygon, ...], list[str]]:
    """The parts that have an area, and what is wrong with the others.

    A part is ``[x, y, x, y, ...]`` or ``[[x, y], ...]``; a single part may stand without its list.
    """
    if not isinstance(segmentation, list):
        return (), []
    parts = segmentation
    if parts and (all(map(is_coordinate, parts)) or (len(parts) > 2 and all(map(_is_pair, parts)))):
        parts = [parts]
    polygons, faults = [], []
    for part in parts:
        if part == []:
            continue
        try:
            polygons.append(_polygon(part))
        except ValueError as error:
            faults.append(str(error))
    return tuple(polygons), faults


def _polygon(part: Any) -> Polygon:
    if isinstance(part, list) and part and all(map(_is_pair, part)):
        return Polygon(ring_of(part))
    if not isinstance(part, list) or len(part) % 2:
        raise ValueError("has a polygon that is no list of x, y, x, y, ...")
    return Polygon(ring_of([part[i : i + 2] for i in range(0, len(part), 2)]))


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_coordinate, value))


FORMAT = ImportFormat("coco", "COCO instances: polygons, RLE, boxes", read_coco)
