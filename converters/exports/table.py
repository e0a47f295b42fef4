"""CSV: areas and numbers of parts, per class and task."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from converters.bookkeeping.files import write_bytes
from converters.exports.exporter import Format, Needs, Records, Written
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from domain.geometry import LabelMap
from domain.labels import LabelConfig

AREAS = "areas.csv"
_COLUMNS = ("task", "image", "width", "height", "class", "area_px", "area_mm2", "parts")


class AreaTable:
    """areas.csv: one row per task and class, 0 where the class is absent.

    ``area_px`` are pixels of the label map, ``area_mm2`` is empty without a spacing of the image;
    ``parts`` are connected parts; pixels that touch only at a corner do not belong together.
    """

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config = out, config

    def write(self, item: ExportItem) -> Written:
        """Keeps the task's rows for ``finish``."""
        height, width = item.size_hw
        label_map, spacing = item.label_map, item.spacing_mm
        rows = []
        for label_class in self._config.group.classes:
            area, parts = area_and_parts(label_map, label_class.index)
            mm2 = f"{area * spacing[0] * spacing[1]:.6g}" if spacing else ""
            rows.append([label_class.value, area, mm2, parts])
        head = [item.task.id, item.image_name, width, height]
        return Written((), {"head": head, "rows": rows})

    def finish(self, records: Records) -> None:
        """Writes areas.csv."""
        write_bytes(self._out / AREAS, _lines(records))


def area_and_parts(label_map: LabelMap, index: int) -> tuple[int, int]:
    """Pixels of a class, and its connected parts; those that touch only at a corner are two."""
    mask = (label_map == index).astype(np.uint8)
    area = int(mask.sum())
    return area, cv2.connectedComponents(mask, connectivity=4)[0] - 1 if area else 0


def _lines(records: Records) -> Iterator[bytes]:
    yield csv_line(_COLUMNS)
    for record in records():
        for row in record["rows"]:
            yield csv_line([*record["head"], *row])


def csv_line(cells: Sequence[object]) -> bytes:
    """A row of a CSV file."""
    buffer = io.StringIO()
    # Cells with a character of the line's end are put in quotes: of a return too, as names have.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n").encode() + b"\n"


FORMAT = Format(
    "csv", "areas and numbers of parts per class and task", Needs.SIZE, AreaTable, version=2
)
