"""YOLO segmentation: a text file per image, one polygon a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from converters.bookkeeping.files import write_bytes
from converters.exports.exporter import Format, Needs, Records, Written, without_ignored
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from converters.images.image_pixels import write_png
from converters.label_studio.keyhole import keyhole_ring
from converters.outlines.clipping import parts_on_image
from converters.outlines.contours import parts_of
from domain.annotation import LeftOut
from domain.geometry import Polygon, Ring, Shape
from domain.labels import LabelConfig
from domain.text import counted

_DECIMALS = 6


class YoloSegmentation:
    """labels/NAME.txt (``class x y x y ...``, 0..1) and data.yaml; images/NAME.png where there.

    Classes count from 0, without background. A hole becomes part of its ring by a bridge of no
    width: readers that fill by the even-odd or nonzero rule leave it open.
    """

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config = out, config

    def write(self, item: ExportItem) -> Written:
        """Writes the lines of one image, and the image."""
        lines = []
        bridged = 0
        for class_index, shape in item.shapes():
            for polygon in _polygons_of(shape, item.size_hw):
                bridged += bool(polygon.holes)
                lines.append(_line(class_index - 1, keyhole_ring(polygon), item.size_hw))
        if bridged:
            message = (
                f"Task {item.task.id}: {counted(bridged, 'region')} with holes became one ring "
                "each with a bridge, because YOLO has no holes."
            )
            item.notes.append(LeftOut(item.task.id, "hole_bridged", message))
        name = f"labels/{item.stem}.txt"
        names = [name]
        if item.image is not None:
            names.append(f"images/{item.stem}.png")
            path = self._out / names[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, item.image)
        write_bytes(self._out / name, "".join(line + "\n" for line in lines).encode())
        return Written(tuple(names))

    def finish(self, records: Records) -> None:
        """Writes data.yaml."""
        names = "".join(
            f"  {c.index - 1}: {json.dumps(c.value, ensure_ascii=False)}\n"
            for c in self._config.group.classes
        )
        text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
        write_bytes(self._out / "data.yaml", text.encode())


def _polygons_of(shape: Shape, size_hw: tuple[int, int]) -> Iterator[Polygon]:
    """Of a drawn polygon what lies on the image; pixels as their outlines."""
    if isinstance(shape, Polygon):
        yield from parts_on_image(shape, size_hw)
        return
    mask = np.pad(shape.inside, 1)
    offset = np.array([shape.left - 1, shape.top - 1], dtype=np.float64)
    for part in parts_of(mask):
        yield Polygon(part.exterior + offset, tuple(hole + offset for hole in part.holes))


def _line(class_number: int, ring: Ring, size_hw: tuple[int, int]) -> str:
    height, width = size_hw
    shares = np.clip(ring / np.array([width, height], dtype=np.float64), 0.0, 1.0)
    return " ".join([str(class_number), *(f"{n:.{_DECIMALS}g}" for n in shares.ravel())])


FORMAT = Format(
    "yolo",
    "YOLO segmentation: labels/*.txt, data.yaml, images where they are there",
    Needs.PIXELS_IF_THERE,
    YoloSegmentation,
    version=2,
    remarks=without_ignored,
)
