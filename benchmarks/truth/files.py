"""Annotations of other tools, as files that are imported: COCO, LabelMe, folders of masks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.truth.drawing import polygon
from benchmarks.truth.reader import LabelMap
from benchmarks.truth.scenes import HEIGHT, SIZE_HW, WIDTH, Ring, Scene

FORMATS = ("coco", "labelme", "masks")

Drawn = Sequence[tuple[str, Ring]]
"""(class name, outline in pixels) of one image, not overlapping."""


def write_images(folder: Path, scenes: Sequence[Scene]) -> Path:
    """The image files; their folder."""
    images = folder / "images"
    images.mkdir(parents=True)
    for scene in scenes:
        (images / scene.name).write_bytes(scene.file)
    return images


def write_source(format_: str, folder: Path, drawn: Mapping[str, Drawn]) -> tuple[Path, list[str]]:
    """Writes what another tool would have; its path and the options that it needs.

    Args:
        format_: one of ``FORMATS``.
        folder: where to.
        drawn: shapes by the image file's name.
    """
    if format_ == "coco":
        return _coco(folder, drawn), []
    if format_ == "labelme":
        return _labelme(folder, drawn), []
    names = list(dict.fromkeys(name for shapes in drawn.values() for name, _ in shapes))
    source = folder / "masks"
    source.mkdir()
    for file_name, shapes in drawn.items():
        label_map = truth_of(shapes, names)
        Image.fromarray(label_map).save(source / f"{file_name.rpartition('.')[0]}.png")
    return source, ["--classes", ",".join(names), "--exact"]


def truth_of(drawn: Drawn, names: Sequence[str]) -> LabelMap:
    """(128, 160) uint8: k where the k-th of the names was drawn."""
    label_map = np.zeros(SIZE_HW, dtype=np.uint8)
    for name, ring in drawn:
        inside = polygon([(x, y) for x, y in ring], SIZE_HW).inside
        label_map[inside] = list(names).index(name) + 1
    return label_map


def _coco(folder: Path, drawn: Mapping[str, Drawn]) -> Path:
    names = list(dict.fromkeys(name for shapes in drawn.values() for name, _ in shapes))
    annotations: list[dict[str, Any]] = []
    for image_id, shapes in enumerate(drawn.values(), start=1):
        for name, ring in shapes:
            low, high = ring.min(axis=0), ring.max(axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": names.index(name) + 1,
                    "segmentation": [ring.ravel().tolist()],
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(np.prod(high - low)),
                    "iscrowd": 0,
                }
            )
    path = folder / "coco.json"
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
                    for i, name in enumerate(drawn, start=1)
                ],
                "annotations": annotations,
                "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
            }
        ),
        encoding="utf-8",
    )
    return path


def _labelme(folder: Path, drawn: Mapping[str, Drawn]) -> Path:
    source = folder / "labelme"
    source.mkdir()
    for file_name, shapes in drawn.items():
        content: dict[str, Any] = {
            "version": "5.4.1",
            "flags": {},
            "shapes": [
                {
                    "label": name,
                    "points": ring.tolist(),
                    "group_id": None,
                    "shape_type": "polygon",
                    "flags": {},
                }
                for name, ring in shapes
            ],
            "imagePath": file_name,
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        stem = file_name.rpartition(".")[0]
        (source / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    return source
