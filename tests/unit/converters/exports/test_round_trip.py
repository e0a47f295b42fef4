"""What an export writes, an import gives back: shapes of every kind, in every format it reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.bookkeeping.files_report import FilesReport
from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import FolderImages
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name as import_format
from converters.imports.run import ImportJob, run_import_to_file
from converters.imports.source import ImportOptions
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map, annotation_to_shapes
from converters.outlines.limits import Simplification
from converters.painting.rasterize import polygons_to_label_map
from domain.geometry import LabelMap
from tests.unit.converters.label_studio.regions.test_brush import rle_of

_LABELS = '<Label value="lumen"/><Label value="wall"/><Label value="a front"/>'
_CONTROLS = ("Polygon", "Ellipse", "Rectangle", "Brush", "Vector")
CONFIG = parse_label_config(
    '<View><Image name="image" value="$image"/>'
    + "".join(f'<{c}Labels name="{c}" toName="image">{_LABELS}</{c}Labels>' for c in _CONTROLS)
    + "</View>"
)
SIZE_HW = (75, 100)
EXACT = Simplification(tolerance_px=0)


def _region(control: str, label: str, **value: Any) -> dict[str, Any]:
    kind = f"{control.lower()}labels"
    return {
        "id": f"{control}{label}{len(str(value))}",
        "from_name": control,
        "to_name": "image",
        "type": kind,
        "original_width": SIZE_HW[1],
        "original_height": SIZE_HW[0],
        "value": {**value, kind: [label]},
    }


def _polygon(label: str, *points: tuple[float, float]) -> dict[str, Any]:
    return _region("Polygon", label, points=[list(p) for p in points], closed=True)


def _line(*points: tuple[float, float]) -> dict[str, Any]:
    names = [f"v{i}" for i in range(len(points))]
    vertices = [
        {"id": name, "prevPointId": before, "x": x, "y": y, "isBezier": False}
        for name, before, (x, y) in zip(names, [None, *names], points, strict=False)
    ]
    return _region("Vector", "a front", vertices=vertices, closed=False)


def _task(number: int, name: str, *results: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    annotations = [
        {"id": 10 * number + i, "completed_by": i, "result": result, **fields}
        for i, result in enumerate(results)
    ]
    return {"id": number, "data": {"image": f"s/{name}"}, "annotations": annotations}


_DISC = np.hypot(*np.mgrid[-37:38, -50:50]) < 20
_STRIPES = _DISC & (np.indices(SIZE_HW)[0] % 9 > 2)
_CROSSING = [(10, 10), (80, 20), (30, 90), (20, 5), (60, 95)]
_ELLIPSE = {"x": 50, "y": 50, "radiusX": 40, "radiusY": 15, "rotation": 33}
_KEYHOLE = [(10, 10), (60.3, 10), (60, 80.7), (10, 80), (10, 10)]
_KEYHOLE += [(20, 20), (20, 60), (40.2, 60), (40, 20.1), (20, 20)]
_ROWS = [
    _task(
        1,
        "several.png",
        [
            _polygon("wall", *_KEYHOLE),  # with a hole, and parts of two classes over it
            _polygon("lumen", (30.3, 50.7), (95.1, 60.2), (50.9, 90.4)),
            _polygon("wall", (70, 5), (95, 5), (95, 30)),
            _region("Rectangle", "a front", x=2, y=70, width=20.5, height=15, rotation=20),
        ],
    ),
    _task(2, "turned.png", [_region("Ellipse", "lumen", **_ELLIPSE)]),
    _task(3, "brush.png", [_region("Brush", "wall", format="rle", rle=rle_of(255 * _STRIPES))]),
    _task(4, "line.png", [_line(*_CROSSING)]),
    _task(5, "beyond.png", [_polygon("lumen", (-30, 50), (50, -40), (120, 40), (60, 60))]),
    _task(6, "empty.png", []),
    _task(7, "skipped.png", [_polygon("lumen", *_KEYHOLE)], was_cancelled=True),
    _task(
        8,
        "two.png",
        [_polygon("lumen", (5, 5), (50, 5), (50, 50))],
        [_polygon("wall", (20, 20), (90, 20), (60, 90))],
    ),
    _task(9, "unlabelled.png"),
]
_LABELLED = {"several", "turned", "brush", "line", "beyond", "two"}


@dataclass
class Trip:
    """A format out and the way it is read in."""

    out: str
    as_: str
    source: str


_TRIPS = [
    Trip("masks-png", "masks", "masks"),
    Trip("masks-npy", "masks", "."),
    Trip("masks-per-class", "masks", "."),
    Trip("nifti", "masks", "."),
    Trip("nnunet", "masks", "."),
    Trip("coco", "coco", "annotations.json"),
    Trip("yolo", "yolo", "."),
]


def _write_project(folder: Path, rows: list[dict[str, Any]]) -> tuple[Path, Path]:
    images = folder / "images"
    (images / "s").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for row in rows:
        pixels = rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / str(row["data"]["image"]))
    path = folder / "export.json"
    path.write_text(json.dumps(rows))
    return path, images


def _out_and_in(
    folder: Path, trip: Trip, rows: list[dict[str, Any]], *, empty: bool = False
) -> tuple[FilesReport, FilesReport, list[dict[str, Any]]]:
    """The reports of export and import, and the tasks imported."""
    path, images = _write_project(folder, rows)
    out = folder / "out"
    exported = run_export(
        ExportFile(path),
        ExportJob(
            format_by_name(trip.out), CONFIG, ExportOptions(), FolderImages(images, ("image",))
        ),
        out,
    )
    is_own = trip.out in ("nnunet", "yolo")  # these have the images
    job = ImportJob(
        import_format(trip.as_),
        out / trip.source,
        ImportOptions(),
        CONFIG,
        ImageFinder(None if is_own else images / "s"),
        how=EXACT,
        empty_as_negative=empty,
    )
    imported = run_import_to_file(job, folder / "tasks.json")
    return exported, imported, json.loads((folder / "tasks.json").read_text())


def _label_map(task: dict[str, Any]) -> LabelMap:
    (read,) = tasks_from_export([{"id": 1, **task}])
    return annotation_to_label_map(read.annotations[-1], CONFIG, SIZE_HW)[0]


def _expected(row: dict[str, Any], trip: Trip) -> LabelMap:
    """Of COCO all annotators, the later ones over the earlier."""
    if trip.out != "coco":
        return _label_map(row)
    (task,) = tasks_from_export([row])
    each = [annotation_to_shapes(a, CONFIG, SIZE_HW)[0] for a in task.annotations]
    return polygons_to_label_map([shape for shapes in each for shape in shapes], SIZE_HW)


def _name(task: dict[str, Any], trip: Trip) -> str:
    """The stem of the image that the task had before."""
    stem = Path(task["data"]["image"]).stem
    if trip.out != "nnunet":
        return stem
    number = int(stem.removesuffix("_0000").removeprefix("task_"))
    return next(Path(row["data"]["image"]).stem for row in _ROWS if row["id"] == number)


@pytest.mark.parametrize("trip", _TRIPS, ids=lambda trip: trip.out)
@pytest.mark.parametrize("empty", [False, True])
def test_what_was_exported_comes_back(tmp_path: Path, trip: Trip, empty: bool) -> None:
    exported, imported, tasks = _out_and_in(tmp_path, trip, _ROWS, empty=empty)
    assert exported.done == len(_LABELLED) + 1
    assert exported.left_out == {"skipped": 1, "unlabelled": 1}
    # What was submitted empty is so again only when that is asked for.
    assert imported.left_out == ({} if empty else {"empty": 1})
    found = {_name(task, trip): task for task in tasks}
    assert len(found) == len(tasks)
    assert found.keys() == (_LABELLED | {"empty"} if empty else _LABELLED)
    for row in _ROWS:
        name = Path(row["data"]["image"]).stem
        if name not in found:
            continue
        (annotation,) = found[name]["annotations"]
        assert bool(annotation["result"]) == (name != "empty")
        expected = _expected(row, trip)
        differing = np.count_nonzero(_label_map(found[name]) != expected)
        # YOLO has six digits and no pixels: a point on a pixel's centre may fall to either side.
        assert differing <= (2 if trip.out == "yolo" else 0), name
        assert expected.any() == (name != "empty")


@pytest.mark.parametrize("trip", _TRIPS, ids=lambda trip: trip.out)
def test_every_task_of_one_image_gets_its_own_back(tmp_path: Path, trip: Trip) -> None:
    wall = [_polygon("wall", (60, 60), (95, 60), (95, 95))]
    rows = [
        _task(1, "one.png", [_polygon("lumen", *_KEYHOLE)]),
        _task(2, "one.png", wall),
        _task(3, "one.png", [_line(*_CROSSING)]),
    ]
    exported, imported, tasks = _out_and_in(tmp_path, trip, rows)
    assert (exported.done, exported.left_out) == (3, {})
    assert (imported.done, imported.left_out) == (3, {})
    _assert_equal(tasks, rows, trip)


@pytest.mark.parametrize("names", [("x.png", "x.tif"), ("x.tif", "x.png"), ("a/x.png", "b/x.png")])
@pytest.mark.parametrize("trip", _TRIPS, ids=lambda trip: trip.out)
def test_images_of_nearly_one_name_keep_their_own(
    tmp_path: Path, trip: Trip, names: tuple[str, str]
) -> None:
    (tmp_path / "images" / "s" / "a").mkdir(parents=True)
    (tmp_path / "images" / "s" / "b").mkdir()
    rows = [
        _task(1, names[0], [_polygon("lumen", *_KEYHOLE)]),
        _task(2, names[1], [_polygon("wall", (60, 60), (95, 60), (95, 95))]),
        _task(3, "scan.png", [_polygon("wall", *_KEYHOLE)]),
        _task(4, "scan_mask.png", [_polygon("wall", *_KEYHOLE)]),
    ]
    exported, imported, tasks = _out_and_in(tmp_path, trip, rows)
    assert (exported.done, exported.left_out) == (4, {})
    assert (imported.done, imported.left_out) == (4, {})
    _assert_equal(tasks, rows, trip)
    if trip.out not in ("nnunet", "yolo"):  # these have images of their own
        drawn = {row["data"]["image"].removeprefix("s/"): _label_map(row) for row in rows}
        for task in tasks:
            assert (drawn.pop(task["data"]["image"].removeprefix("s/")) == _label_map(task)).all()


def _assert_equal(tasks: list[dict[str, Any]], rows: list[dict[str, Any]], trip: Trip) -> None:
    """In any order."""
    left = list(rows)
    for task in tasks:
        found = _label_map(task)
        most = 2 if trip.out == "yolo" else 0
        left.remove(next(r for r in left if np.count_nonzero(found != _label_map(r)) <= most))
    assert left == []
