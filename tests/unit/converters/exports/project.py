"""A small project as an export file: images, a hole, overlaps, two annotators, a skip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converters.bookkeeping.files_report import FilesReport
from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import FolderImages, NoImages
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from domain.geometry import LabelMap
from tests.unit.converters.configs import CONFIG

SIZE_HW = (30, 40)
KEYHOLE = [[10, 10], [60, 10], [60, 80], [10, 80], [10, 10], [20, 20], [20, 60], [40, 60], [40, 20]]
KEYHOLE += [[20, 20]]


def region(label: str, points: Sequence[Sequence[float]], **fields: Any) -> dict[str, Any]:
    return {
        "id": f"r{len(points)}",
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": SIZE_HW[1],
        "original_height": SIZE_HW[0],
        "value": {"points": points, "closed": True, "polygonlabels": [label]},
        **fields,
    }


def annotation(number: int, *result: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": number, "completed_by": number % 10, "result": list(result), **fields}


def row(task_id: int, name: str, *annotations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    image = f"/data/upload/3/0123abcd-{name}"
    return {"id": task_id, "data": {"image": image}, "annotations": list(annotations), **fields}


ROWS = [
    row(
        7,
        "left.png",
        annotation(
            11,
            region("wall", KEYHOLE),
            region("lumen", [[50.3, 30.7], [95.1, 40.2], [70.9, 90.4]]),
        ),
        annotation(12, region("lumen", [[5, 5], [30, 6], [20, 50]])),
        predictions=[{"model_version": "v1", "score": 0.5, "result": []}],
    ),
    row(8, "empty.png", annotation(13)),
    row(9, "skipped.png", annotation(14, was_cancelled=True)),
    row(10, "later.png"),
    row(11, "bad.png", annotation(15, region("bone", KEYHOLE))),
]


def write_project(folder: Path, rows: list[dict[str, Any]] | None = None) -> tuple[Path, Path]:
    """The export file and the folder of its images."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for entry in ROWS if rows is None else rows:
        name = entry["data"]["image"].rpartition("-")[2]
        pixels = rng.integers(0, 256, SIZE_HW, dtype=np.uint8)
        if not (images / name).exists():
            Image.fromarray(pixels).save(images / name)
    path = folder / "export.json"
    path.write_text(json.dumps(ROWS if rows is None else rows))
    return path, images


def run(
    folder: Path,
    format_name: str,
    options: ExportOptions | None = None,
    *,
    rows: list[dict[str, Any]] | None = None,
    with_images: bool = True,
) -> tuple[FilesReport, Path]:
    """Exports the project; returns the report and the folder."""
    path, images = write_project(folder, rows)
    out = folder / format_name
    report = run_export(
        ExportFile(path),
        ExportJob(
            format_by_name(format_name),
            CONFIG,
            options or ExportOptions(),
            FolderImages(images, ("image",)) if with_images else NoImages(),
        ),
        out,
    )
    return report, out


def truth(task_id: int, annotation_index: int = -1) -> LabelMap:
    """The label map of a task's annotation."""
    task = next(t for t in tasks_from_export(ROWS) if t.id == task_id)
    return annotation_to_label_map(task.annotations[annotation_index], CONFIG, SIZE_HW)[0]
