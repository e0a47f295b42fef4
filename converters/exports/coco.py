"""COCO instances: every region of every annotator, holes and overlaps kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.bookkeeping.files import write_bytes
from converters.exports.exporter import Format, Needs, Records, Written, without_ignored
from converters.exports.image_names import names_of_image, told_apart
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from converters.masks.coco_rle import encode_rle, polygons_to_rle
from converters.outlines.clipping import parts_on_image
from converters.outlines.contours import parts_of
from converters.painting.rasterize import shape_to_mask
from domain.geometry import Polygon, Shape
from domain.labels import LabelConfig

ANNOTATIONS = "annotations.json"
_DECIMALS = 3
"""Thousandths of a pixel: pycocotools itself reads fifths."""


class CocoInstances:
    """annotations.json. Image ids are task ids, category ids class integers.

    Of several tasks of one image each has its own entry in ``images``, with its ``task_id``.

    A region is one annotation: ``segmentation`` is a list of polygons, or a compressed RLE where
    the region has a hole, which COCO's polygons can't have. pycocotools reads it as the very pixels
    nnloop paints; where it would read the drawn points otherwise (it rounds to fifths of a pixel),
    the polygon runs along the pixels instead, unless the drawn points were asked for.
    """

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config = out, config
        self._is_drawn = options.polygons == "drawn"

    def write(self, item: ExportItem) -> Written:
        """Keeps the image and its annotations for ``finish``."""
        height, width = item.size_hw
        annotations = []
        for annotation, shapes in item.all_shapes():
            for class_index, shape in shapes:
                entry = self._annotation(shape, item.size_hw)
                if entry is None:
                    continue
                row = {
                    "image_id": item.task.id,
                    "category_id": class_index,
                    **entry,
                    "iscrowd": 0,
                    "annotation_id": annotation.id,
                    "annotator": annotation.completed_by,
                }
                # Kept as text: at the end thousands of points need no reading, only a number.
                annotations.append(json.dumps(row, ensure_ascii=False))
        image = {
            "id": item.task.id,
            "width": width,
            "height": height,
        }
        record = {"image": image, "annotations": annotations, **names_of_image(item)}
        return Written((), record)

    def finish(self, records: Records) -> None:
        """Writes annotations.json."""
        write_bytes(self._out / ANNOTATIONS, self._parts(records))

    def _parts(self, records: Records) -> Iterator[bytes]:
        categories = [
            {"id": c.index, "name": c.value, "supercategory": "", "color": c.color}
            for c in self._config.group.classes
        ]
        yield b'{\n"info": {"description": "Exported by nnloop"},\n"categories": '
        yield json.dumps(categories, ensure_ascii=False).encode()
        yield b',\n"images": ['
        yield from _rows(json.dumps(image, ensure_ascii=False) for image in _images(records))
        yield b'\n],\n"annotations": ['
        yield from _rows(self._numbered(records))
        yield b"\n]\n}\n"

    def _numbered(self, records: Records) -> Iterator[str]:
        number = 0
        for record in records():
            for annotation in record["annotations"]:
                number += 1
                yield f'{{"id": {number}, {annotation[1:]}'

    def _annotation(self, shape: Shape, size_hw: tuple[int, int]) -> dict[str, Any] | None:
        """segmentation, area and bbox of a shape; None when it covers no pixel."""
        mask = shape_to_mask(shape, size_hw)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0:
            return None
        left, top = int(columns[0]), int(rows[0])
        width, height = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
        window = mask[top : top + height, left : left + width]
        return {
            "segmentation": self._segmentation(shape, mask, _parts_of(window, top, left)),
            "area": int(window.sum()),
            "bbox": [left, top, width, height],
        }

    def _segmentation(
        self, shape: Shape, mask: npt.NDArray[np.bool_], parts: tuple[Polygon, ...]
    ) -> Any:
        if any(part.holes for part in parts):
            # Also of a keyhole ring, whose hole other readers of polygons would fill.
            return encode_rle(mask)
        if isinstance(shape, Polygon) and not shape.holes:
            # pycocotools walks along every edge, also where it is far off the image.
            drawn = [_flat(part) for part in parts_on_image(shape, (mask.shape[0], mask.shape[1]))]
            if self._is_drawn or polygons_to_rle(drawn, mask.shape) == encode_rle(mask):
                return drawn
        return [_flat(part) for part in parts]


def _images(records: Records) -> Iterator[dict[str, Any]]:
    """One entry for each task, also of one image; then ``task_id`` tells them apart."""
    for found in told_apart(records):
        image = found.record["image"]
        twin = {"task_id": image["id"]} if found.is_shared else {}
        yield {"id": image["id"], "file_name": found.name, **image, **twin}


def _parts_of(window: npt.NDArray[np.bool_], top: int, left: int) -> tuple[Polygon, ...]:
    """The connected parts of a window of the image, in the image's coordinates."""
    framed = np.pad(window, 1)
    offset = np.array([left - 1, top - 1], dtype=np.float64)
    return tuple(
        Polygon(part.exterior + offset, tuple(hole + offset for hole in part.holes))
        for part in parts_of(framed)
    )


def _flat(polygon: Polygon) -> list[float]:
    points: list[float] = np.round(polygon.exterior, _DECIMALS).ravel().tolist()
    return points


def _rows(rows: Iterator[str]) -> Iterator[bytes]:
    separator = "\n"
    for row in rows:
        yield (separator + row).encode()
        separator = ",\n"


FORMAT = Format(
    "coco",
    "COCO instances: polygons, RLE for holes, all annotators",
    Needs.SIZE,
    CocoInstances,
    version=3,
    remarks=without_ignored,
)
