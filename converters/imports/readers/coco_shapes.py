"""What a COCO annotation covers: polygons, RLE, else its box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.imports.readers.shapes import (
    box_polygon,
    is_coordinate,
    ring_of,
    size_of_image,
    with_numbers,
)
from converters.imports.source import Notes
from converters.masks.coco_rle import decode_rle
from domain.geometry import PixelMask, Polygon, Shape

_NO_AREA = ("no area", "no pixel")
"""How a fault ends that leaves nothing of a segmentation, so that the box may stand for it."""


def shapes_of(
    annotation: dict[str, Any], size_hw: tuple[int, int] | None, region: object, notes: Notes
) -> tuple[Shape, ...]:
    """The parts of an annotation's segmentation; where they have no area, its box.

    Args:
        annotation: A row of ``annotations``.
        size_hw: (height, width) of its image in pixels, None where the file does not say.
        region: Names the annotation in ``notes``.
        notes: Told of parts that are left out, and that the box was taken.

    Raises:
        ValueError: It covers nothing, or can't be read; the message says why.
    """
    shapes, faults = _segmented(annotation.get("segmentation"), size_hw)
    if shapes:
        for fault in faults:
            notes.add(region, "malformed_part", f"lost a part: it {fault}")
        return shapes
    box = _box_of(annotation.get("bbox"))
    if box is not None and all(fault.endswith(_NO_AREA) for fault in faults):
        why = f"has a segmentation that {faults[0]}" if faults else "has no segmentation"
        notes.add(region, "box_only", f"{why}; its box was taken")
        return (box,)
    raise ValueError(faults[0] if faults else "has neither a segmentation nor a box")


def rle_size(rle: Any) -> tuple[int, int] | None:
    """(height, width) that an RLE says; None for anything else."""
    size = rle.get("size") if isinstance(rle, dict) else None
    return size_of_image(*size) if isinstance(size, list) and len(size) == 2 else None


def _segmented(
    segmentation: Any, size_hw: tuple[int, int] | None
) -> tuple[tuple[Shape, ...], list[str]]:
    """The parts that have an area, and what is wrong with the others."""
    if isinstance(segmentation, str) and segmentation.strip():
        segmentation = _parsed(segmentation)
    if isinstance(segmentation, dict) and segmentation:
        segmentation = [segmentation]
    if not isinstance(segmentation, list):
        return (), []
    shapes: list[Shape] = []
    faults = []
    for part in _parts(with_numbers(segmentation)):
        try:
            shapes.append(_pixels(part, size_hw) if isinstance(part, dict) else _polygon(part))
        except ValueError as error:
            faults.append(str(error))
    return tuple(shapes), faults


def _parsed(text: str) -> Any:
    """A segmentation that came through a table, as text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, str):
        raise ValueError(f"has the segmentation {text[:40]!r}, which is none")
    return value


def _parts(segmentation: list[Any]) -> Iterator[Any]:
    """The parts of a segmentation: polygons, RLE, or whatever stands there.

    A polygon is ``[x, y, x, y, ...]`` or ``[[x, y], ...]``; a single one may stand without its
    list, or in one list more.
    """
    is_flat = bool(segmentation) and all(map(is_coordinate, segmentation))
    if is_flat or (len(segmentation) > 2 and all(map(_is_pair, segmentation))):
        yield segmentation
    else:
        for part in segmentation:
            if part is None or part == []:
                continue
            is_listed = isinstance(part, list) and all(map(_is_flat, part))
            yield from part if is_listed else [part]


def _polygon(part: Any) -> Polygon:
    if isinstance(part, list) and part and all(map(_is_pair, part)):
        return Polygon(ring_of(part))
    if not isinstance(part, list) or len(part) % 2:
        raise ValueError("has a polygon that is no list of x, y, x, y, ...")
    return Polygon(ring_of([part[i : i + 2] for i in range(0, len(part), 2)]))


def _is_flat(value: object) -> bool:
    """A polygon of at least three corners in a flat list."""
    return isinstance(value, list) and len(value) > 5 and all(map(is_coordinate, value))


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_coordinate, value))


def _pixels(rle: dict[str, Any], size_hw: tuple[int, int] | None) -> PixelMask:
    size = rle_size(rle)
    size_hw = size_hw or size
    if size_hw is None:
        raise ValueError("is an RLE without a size, and its image has no width and height")
    if rle.get("counts") in ([], ""):
        raise ValueError("has an RLE of no pixel")
    mask = decode_rle(rle | {"size": list(size)} if size is not None else rle, size_hw)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise ValueError("covers no pixel")
    window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return PixelMask(int(rows[0]), int(columns[0]), window)


def _box_of(box: Any) -> Polygon | None:
    """The bbox of an annotation; None where it is none, or has no area."""
    if isinstance(box, str):
        try:
            box = json.loads(box)
        except (ValueError, RecursionError):
            return None
    box = with_numbers(box)
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_coordinate, box)):
        return None
    return box_polygon(*map(float, box)) if min(box[2:]) > 0 else None
