from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.bookkeeping.files_report import FilesReport
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name
from converters.imports.run import ImportJob, run_import_to_file
from converters.imports.source import ImportOptions
from converters.imports.tasks import infer_classes, label_config_for
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from converters.outlines.limits import Simplification
from domain.errors import FileFormatError
from domain.geometry import LabelMap
from tests.needed import real_images

EXACT = Simplification(tolerance_px=0)


def _import(
    name: str, source: Path, out: Path, images: Path | None = None, prefix: str = "", **fields: Any
) -> tuple[FilesReport, list[dict[str, Any]]]:
    format_ = format_by_name(name)
    options = fields.pop("options", ImportOptions())
    config = parse_label_config(label_config_for(infer_classes(format_, source, options)))
    finder = ImageFinder(images, prefix)
    job = ImportJob(format_, source, options, config, finder, how=EXACT, **fields)
    report = run_import_to_file(job, out)
    return report, json.loads(out.read_text())


def _label_map(task: dict[str, Any], size_hw: tuple[int, int], *classes: str) -> LabelMap:
    config = parse_label_config(label_config_for(classes))
    (read,) = tasks_from_export([task])
    return annotation_to_label_map(read.annotations[0], config, size_hw)[0]


def test_masks_come_back_pixel_by_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = tmp_path / "masks"
    masks.mkdir()
    maps = {f"m{i}": rng.integers(0, 3, (20, 30), dtype=np.uint8) for i in range(3)}
    for stem, label_map in maps.items():
        Image.fromarray(label_map).save(masks / f"{stem}.png")
    (masks / "classes.json").write_text('{"background": 0, "a": 1, "b": 2}')
    report, tasks = _import("masks", masks, tmp_path / "tasks.json", image_url="/data/x/")
    assert (report.done, report.left_out) == (3, {})
    for task, (stem, label_map) in zip(tasks, maps.items(), strict=True):
        assert task["data"] == {"image": f"/data/x/{stem}.png"}
        assert (_label_map(task, (20, 30), "a", "b") == label_map).all()


def test_masks_find_images_with_another_ending(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "images").mkdir()
    mask = np.eye(9, dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    Image.fromarray(mask).save(tmp_path / "images" / "a.jpg")
    _, (task,) = _import(
        "masks", tmp_path / "masks", tmp_path / "t.json", tmp_path / "images", as_="predictions"
    )
    assert task["data"] == {"image": "a.jpg"}
    assert task["predictions"][0]["model_version"] == "imported"
    assert "annotations" not in task


def test_a_second_run_converts_only_what_changed(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for i in range(3):
        Image.fromarray(np.full((5, 5), 1, dtype=np.uint8)).save(masks / f"{i}.png")
    out = tmp_path / "t.json"
    options = ImportOptions(classes=("a",))
    assert _import("masks", masks, out, options=options)[0].unchanged == 0
    Image.fromarray(np.eye(5, dtype=np.uint8)).save(masks / "1.png")
    (masks / "2.png").unlink()
    report, tasks = _import("masks", masks, out, options=options)
    assert (report.done, report.unchanged, report.removed) == (2, 1, 1)
    assert (_label_map(tasks[1], (5, 5), "a") == np.eye(5)).all()


def test_an_image_of_another_size_or_none_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown as 8 x 6 (height x width)
    Image.new("L", (8, 6)).save(tmp_path / "images" / "turned.png", exif=exif)
    Image.new("L", (8, 6)).save(tmp_path / "images" / "plain.png")
    Image.new("L", (8, 6)).save(tmp_path / "images" / "other.png")
    size = {"width": 8, "height": 6}
    names = ("plain.png", "turned.png", "../other.png")
    images = [{"id": i, "file_name": name, **size} for i, name in enumerate(names)]
    images.append({"id": 9, "file_name": "lost.png"})
    ring = {"segmentation": [[1, 1, 5, 1, 5, 5]], "category_id": 1}
    source = {
        "images": images,
        "annotations": [{"id": i, "image_id": i, **ring} for i in (0, 1, 2, 9)],
        "categories": [{"id": 1, "name": "x"}],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(source))
    report, tasks = _import("coco", path, tmp_path / "t.json", tmp_path / "images")
    assert report.left_out == {"image_missing": 1, "size_mismatch": 1}
    assert [t["data"]["image"] for t in tasks] == ["plain.png", "other.png"]


def test_no_class_at_all_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "via.json"
    path.write_text('{"a": {"filename": "a.png", "regions": []}}')
    with pytest.raises(FileFormatError) as caught:
        infer_classes(format_by_name("via"), path, ImportOptions())
    assert "nothing in its 1 image" in str(caught.value)
    assert "--label-config" in caught.value.remedy


def test_real_via_polygons_keep_their_points(tmp_path: Path) -> None:
    insects = real_images("insects")
    source = insects / "train_via_region_data.json"
    report, tasks = _import("via", source, tmp_path / "t.json", insects / "images", "train_")
    assert (report.done, report.left_out) == (24, {})
    first = next(iter(json.loads(source.read_text()).values()))
    task = next(t for t in tasks if t["data"]["image"] == f"train_{first['filename']}")
    regions = task["annotations"][0]["result"]
    assert len(regions) == len(first["regions"])
    shape = first["regions"][0]["shape_attributes"]
    width, height = regions[0]["original_width"], regions[0]["original_height"]
    points = np.array(regions[0]["value"]["points"]) / 100 * [width, height]
    wanted = np.stack([shape["all_points_x"], shape["all_points_y"]], axis=1)
    assert np.abs(points - wanted).max() < 1e-4


def test_real_masks_at_the_default_simplification(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in sorted((real_images("nuclei") / "masks").iterdir())[:3]:
        (masks / path.name).write_bytes(path.read_bytes())
    config = parse_label_config(label_config_for(("nucleus",)))
    options = ImportOptions(classes=("nucleus",))
    job = ImportJob(format_by_name("masks"), masks, options, config, ImageFinder(None))
    assert run_import_to_file(job, tmp_path / "t.json").done == 3
    for task, path in zip(
        json.loads((tmp_path / "t.json").read_text()), sorted(masks.iterdir()), strict=True
    ):
        mask = np.asarray(Image.open(path)) > 0
        found = _label_map(task, (mask.shape[0], mask.shape[1]), "nucleus") > 0
        assert (mask & found).sum() / (mask | found).sum() > 0.97


def test_an_image_that_comes_twice_loses_its_regions_aloud(tmp_path: Path) -> None:
    square = [2, 2, 8, 2, 8, 8, 2, 8]
    value = {
        "images": [{"id": i, "file_name": "a.png", "width": 20, "height": 10} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [square]} for i in (1, 2)
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(value))
    config = parse_label_config(label_config_for(("cell",)))
    job = ImportJob(
        format_by_name("coco"), tmp_path / "coco.json", ImportOptions(), config, ImageFinder(None)
    )
    report = run_import_to_file(job, tmp_path / "tasks.json")
    assert report.left_out == {"regions_lost": 1, "duplicate_image": 1}
