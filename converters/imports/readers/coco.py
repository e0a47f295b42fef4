"""COCO instances: polygons, RLE, boxes."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from converters.bookkeeping.json_stream import Piece, iter_json
from converters.imports.readers.coco_shapes import rle_size, shapes_of
from converters.imports.readers.shapes import size_of_image
from converters.imports.source import (
    ImportedImage,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Regions,
)
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.text import counted, sayable

_MAX_CATEGORIES = 10_000
_LARGEST_ID = 10**30
_LONGEST_ID = 1000


@dataclass(slots=True)
class _Known:
    """What is known before the images are read.

    ``categories`` are names by id; ``unread`` says which annotations may be any image's;
    ``repeated`` are file names that several images have.
    """

    categories: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    repeated: frozenset[str] = field(default=frozenset())

    def name_of(self, category: str | None) -> str:
        """The name of a category by its id, or by itself; "" where it is unknown."""
        if category is None:
            return ""
        found = self.categories.get(category) or self.categories.get(_as_number(category))
        return found or (category if category in self.categories.values() else "")


def read_coco(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a COCO file image by image; annotations may come in any order.

    Polygons of one annotation are united; an RLE becomes its pixels; an annotation whose
    segmentation has no area (``[]``, ``[[]]``, two corners) becomes its box. Ids are whole numbers
    or texts, and "1" is 1. Memory does not grow with the file: a temporary database sorts it.

    Raises:
        FileFormatError: It is no COCO file.
    """
    with closing(sqlite3.connect("")) as db:
        db.execute(
            "CREATE TABLE images "
            "(id TEXT PRIMARY KEY, number TEXT, name TEXT, place TEXT, raw BLOB)"
        )
        db.execute("CREATE TABLE annotations (image_id TEXT, raw BLOB)")
        faults: list[LeftOut] = []
        known = _load(path, db, faults)
        key = _settle_ids(db)
        yield from faults
        # An annotation that can't be read, or names no image of the file, may be any image's: none
        # is known to be empty then.
        if unplaced := _unplaced(db, key):
            known.unread.append(unplaced)
        rows = db.execute(f"SELECT {key}, place, raw FROM images ORDER BY rowid")  # noqa: S608
        for number, (image_id, place, raw) in enumerate(rows, start=1):
            found = db.execute(
                "SELECT raw FROM annotations WHERE image_id = ? ORDER BY rowid", (image_id,)
            )
            yield _image(number, json.loads(raw), place, (r[0] for r in found), known, options)
        if unplaced:
            yield LeftOut(0, "image_unknown", unplaced)


def _unplaced(db: sqlite3.Connection, key: str) -> str:
    """How many annotations belong to no image, in words; "" where all have one."""
    query = f"SELECT count(*) FROM annotations WHERE image_id NOT IN (SELECT {key} FROM images)"  # noqa: S608
    (n_lost,) = db.execute(query).fetchone()
    lost = counted(n_lost, "annotation belongs", "annotations belong")
    return f"{lost} to images the file lacks." if n_lost else ""


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
        return sayable(value.strip())
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


def _load(path: Path, db: sqlite3.Connection, faults: list[LeftOut]) -> _Known:
    known = _Known()
    groups = set()
    for piece in iter_json(path, into=("images", "annotations", "categories")):
        groups.add(piece.group)
        if piece.group not in ("images", "annotations", "categories"):
            continue
        try:
            _keep(piece, db, known.categories)
        except FileFormatError as error:
            faults.append(LeftOut(0, "malformed_entry", str(error)))
            known.unread += [str(error)] if piece.group == "annotations" else []
            if len(faults) > 1000:
                raise
    if "images" not in groups:
        raise FileFormatError(
            f"{path.name} is no COCO file: it has no list 'images' with an entry.",
            remedy="Give a file of COCO instances.",
        )
    twice = db.execute("SELECT name FROM images GROUP BY name HAVING count(*) > 1")
    known.repeated = frozenset(name for (name,) in twice if name)
    return known


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
            name = row.get("file_name")
            name = name if isinstance(name, str) else None
            name, place = name and sayable(name), sayable(piece.place)
            values = (row_id, _as_number(row_id), name, place, piece.raw)
            db.execute("INSERT INTO images VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            raise FileFormatError(f"{piece.place} has the id {row_id} of another image.") from None


def _image(
    number: int,
    row: dict[str, Any],
    place: str,
    annotations: Iterator[bytes],
    known: _Known,
    options: ImportOptions,
) -> ImportedImage | LeftOut:
    name = _name_of(row, known)
    if not name:
        return LeftOut(number, "malformed_image", f"{place} has no file_name.")
    size_hw = size_of_image(row.get("height"), row.get("width"))
    # nnloop's own export says so where several tasks have one image.
    task_id = row.get("task_id") if type(row.get("task_id")) is int else None
    about = [name, size_hw, sorted(known.categories.items())]
    digest = hashlib.sha256(json.dumps(about).encode())
    regions = Regions(number, name, options.default_class)
    i = 0
    for i, raw in enumerate(annotations, start=1):
        digest.update(raw)
        annotation = json.loads(raw)
        region = annotation.get("id", i)
        category = _id_of(annotation.get("category_id"))
        lacks = f"has the category {category!r}, which the file lacks"
        read = partial(shapes_of, annotation, size_hw, region, regions)
        if regions.read(region, known.name_of(category), read, no_class=lacks):
            size_hw = size_hw or rle_size(annotation.get("segmentation"))
    if i == 0 and known.unread:
        what = f"may be one that can't be read: {known.unread[0]}".rstrip(".")
        regions.add("?", "malformed_entry", what)
    return ImportedImage(
        number=number,
        key=name if task_id is None else f"{name} of task {task_id}",
        stamp=digest.hexdigest(),
        file_name=name,
        size_hw=size_hw,
        regions=regions.found,
        notes=tuple(regions.items),
        is_empty=i == 0 and not known.unread,
        task_id=task_id,
    )


def _name_of(row: dict[str, Any], known: _Known) -> str:
    """The image's name; of a name that several have COCO Annotator's path, where it says more."""
    name, path = row.get("file_name"), row.get("path")
    if not isinstance(path, str) or not path:
        return name if isinstance(name, str) else ""
    if not isinstance(name, str) or not name:
        return path
    ends_alike = path.replace("\\", "/").endswith("/" + name.replace("\\", "/").lstrip("/"))
    return path if name in known.repeated and ends_alike else name


FORMAT = ImportFormat("coco", "COCO instances: polygons, RLE, boxes", read_coco, is_file=True)
