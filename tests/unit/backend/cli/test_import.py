"""nnloop import into a tasks file: what is written, what is refused, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from backend.cli.main import app
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from domain.errors import FileFormatError, LabelConfigError, SettingsError
from domain.geometry import LabelMap

SIZE_HW = (20, 30)
SQUARE = [4, 3, 14, 3, 14, 11, 4, 11]


def _config(*labels: str) -> str:
    tags = "".join(f"<Label {label}/>" for label in labels)
    return (
        "<View><Image name='image' value='$image'/>"
        f"<PolygonLabels name='label' toName='image'>{tags}</PolygonLabels></View>"
    )


LUMEN, WALL = "value='lumen' background='#ff0000'", "value='wall' background='green'"


class _Import:
    """Runs the command in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "tasks.json"

    def __call__(self, source: object, name: str, *more: object, code: int = 0) -> str:
        arguments = ["import", source, "--format", name, "--out", self.out, *more]
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())

    def config(self, *labels: str) -> tuple[str, Path]:
        path = self.folder / "config.xml"
        path.write_text(_config(*labels))
        return "--label-config", path

    @property
    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out.read_text())
        return found

    def label_map(self, index: int, *labels: str) -> LabelMap:
        (task,) = tasks_from_export([self.tasks[index]])
        config = parse_label_config(_config(*labels))
        return annotation_to_label_map(task.annotations[0], config, SIZE_HW)[0]


@pytest.fixture
def run(tmp_path: Path) -> _Import:
    return _Import(tmp_path)


def _coco(folder: Path, images: dict[str, list[Any]], **categories: int) -> Path:
    """Images with annotations: (category id, segmentation)."""
    height, width = SIZE_HW
    value = {
        "images": [
            {"id": i, "file_name": name, "width": width, "height": height}
            for i, name in enumerate(images)
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": [
            {"id": 100 * i + j, "image_id": i, "category_id": number, "segmentation": segmentation}
            for i, found in enumerate(images.values())
            for j, (number, segmentation) in enumerate(found)
        ],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(value))
    return path


def _mask(path: Path, *classes: int) -> Path:
    """Bars of these values, five columns each."""
    array = np.zeros(SIZE_HW, dtype=np.uint8)
    for i, value in enumerate(classes):
        array[2:12, 2 + 6 * i : 7 + 6 * i] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def test_a_class_that_fits_no_label_is_refused_and_nothing_is_written(run: _Import) -> None:
    source = _coco(run.folder, {"a.png": [(1, [SQUARE])], "b.png": []}, lesion=1, lumen=2)
    with pytest.raises(SettingsError, match="'lesion' is no label") as caught:
        run(source, "coco", *run.config(LUMEN, WALL))
    assert "The source has lesion; the labelling interface lumen, wall." in caught.value.remedy
    assert "--map 'lesion=LABEL'" in caught.value.remedy
    assert not run.out.exists()
    run(source, "coco", *run.config(LUMEN, WALL), "--map", "lesion=Wall")
    (task,) = run.tasks
    assert task["annotations"][0]["result"][0]["value"]["polygonlabels"] == ["wall"]


def test_an_import_into_a_file_speaks_of_no_project(run: _Import) -> None:
    source = _coco(run.folder, {"a.png": [(1, [SQUARE])]}, lesion=1, lumen=2)
    with pytest.raises(SettingsError) as caught:
        run(source, "coco", *run.config(LUMEN, WALL))
    assert "project" not in f"{caught.value} {caught.value.remedy}"
    broken = run.folder / "broken.xml"
    broken.write_text("<View>")
    with pytest.raises(LabelConfigError, match=r"broken\.xml") as config:
        run(source, "coco", "--label-config", broken)
    assert "project" not in f"{config.value} {config.value.remedy}"
    (run.folder / "rows.json").write_text("id,image")
    with pytest.raises(FileFormatError, match="is no JSON") as file:
        run(run.folder / "rows.json", "coco", *run.config(LUMEN))
    assert "project" not in file.value.remedy


def test_one_class_on_both_sides_matches_by_itself(run: _Import) -> None:
    source = _coco(run.folder, {"a.png": [(1, [SQUARE])]}, lesion=1, never_used=2)
    said = run(source, "coco", *run.config(LUMEN))
    assert "'lesion' was taken for 'lumen'" in said
    assert (run.label_map(0, LUMEN) == 1).sum() == 80


def test_an_image_that_lost_its_regions_is_no_negative(run: _Import) -> None:
    images = {
        "good.png": [(1, [SQUARE])],
        "unknown.png": [(9, [SQUARE])],
        "broken.png": [(1, [[1, 2, 3]])],
        "outside.png": [(1, [[-9, -9, -1, -9, -1, -1]])],
        "empty.png": [],
    }
    source = _coco(run.folder, images, lumen=1)
    for kind in ("annotations", "predictions"):
        for more in ((), ("--empty-as-negative",)):
            said = run(source, "coco", *run.config(LUMEN), "--as", kind, *more, code=1)
            assert "3 regions_lost" in said
            assert "category '9', which the file lacks" in said
            written = {t["data"]["image"]: t[kind][0]["result"] for t in run.tasks}
            assert written.keys() == {"good.png", "empty.png"} if more else {"good.png"}
            assert [name for name, result in written.items() if not result] == (
                ["empty.png"] if more else []
            )


def test_empty_alone_is_said_and_no_fault(run: _Import) -> None:
    source = _coco(run.folder, {"a.png": [(1, [SQUARE])], "b.png": []}, lumen=1)
    said = run(source, "coco", *run.config(LUMEN))
    assert "1 empty" in said and "--empty-as-negative" in said
    assert len(run.tasks) == 1


def test_a_class_left_out_on_request_leaves_no_negative_either(run: _Import) -> None:
    images = {"a.png": [(1, [SQUARE]), (2, [SQUARE])], "b.png": [(2, [SQUARE])]}
    source = _coco(run.folder, images, lumen=1, debris=2)
    options = ("--map", "debris=", "--empty-as-negative")
    said = run(source, "coco", *run.config(LUMEN, WALL), *options)
    assert "1 class_left_out" in said
    assert [len(t["annotations"][0]["result"]) for t in run.tasks] == [1]


def test_area_beyond_the_border_goes_and_corners_stay(run: _Import) -> None:
    source = _coco(run.folder, {"a.png": [(1, [[-20, 10, 15, -15, 15, 30]])]}, lumen=1)
    run(source, "coco", *run.config(LUMEN))
    points = np.array(run.tasks[0]["annotations"][0]["result"][0]["value"]["points"])
    assert points.min() >= 0 and points.max() <= 100
    # With its corners moved to the border the triangle would not hold the image's corner.
    assert run.label_map(0, LUMEN)[0, 0] == 1


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("/data/local-files/?d=scans/", None),
        ("https://host/files/", "https://host/files/p1/a%26b%20%231%2B%C3%A9.png"),
        ("s3://bucket/", "s3://bucket/p1/a&b #1+é.png"),
        ("", "p1/a&b #1+é.png"),
    ],
)
def test_names_in_addresses(run: _Import, prefix: str, address: str | None) -> None:
    name = "p1/a&b #1+é.png"
    (run.folder / "images" / "p1").mkdir(parents=True)
    Image.new("L", SIZE_HW[::-1]).save(run.folder / "images" / name)
    source = _coco(run.folder, {name: [(1, [SQUARE])]}, lumen=1)
    options = ("--images", run.folder / "images", "--image-url", prefix)
    run(source, "coco", *run.config(LUMEN), *options)
    found = run.tasks[0]["data"]["image"]
    if address is None:
        assert parse_qs(urlsplit(found).query) == {"d": [f"scans/{name}"]}
    else:
        assert found == address


def test_bare_file_names_are_warned_of(run: _Import) -> None:
    source = _coco(run.folder, {n: [(1, [SQUARE])] for n in ("a.png", "b.png")}, lumen=1)
    said = run(source, "coco", *run.config(LUMEN))
    assert "2 tasks name a file, not an address ('a.png'): Label Studio can't show them." in said
    assert "--image-url" in said
    said = run(source, "coco", *run.config(LUMEN), "--image-url", "/data/local-files/?d=scans/")
    assert "not an address" not in said


def test_two_images_of_the_source_are_not_one_file(run: _Import) -> None:
    """As where the folders were dropped when the images were copied."""
    (run.folder / "images").mkdir()
    Image.new("L", SIZE_HW[::-1]).save(run.folder / "images" / "a.png")
    images = {f"p{i}/a.png": [(1, [SQUARE])] for i in (1, 2)}
    source = _coco(run.folder, images, lumen=1)
    said = run(source, "coco", *run.config(LUMEN), "--images", run.folder / "images", code=1)
    assert "2 ambiguous_image" in said
    assert run.tasks == []


def test_nnunets_data_set_by_its_integers_and_channels(run: _Import) -> None:
    root = run.folder / "Dataset001_X"
    _mask(root / "labelsTr" / "case_1.png", 2, 1)
    _mask(root / "labelsTr" / "case_2.png", 3)  # nothing but pixels to ignore
    (root / "imagesTr").mkdir()
    for i in (1, 2):
        Image.new("L", SIZE_HW[::-1]).save(root / "imagesTr" / f"case_{i}_0000.png")
    labels = {"background": 0, "wall": 1, "lumen": 2, "ignore": 3}
    (root / "dataset.json").write_text("\ufeff" + json.dumps({"labels": labels}), encoding="utf-8")
    for source in (root, root / "labelsTr"):
        run.out.unlink(missing_ok=True)
        said = run(source, "masks", *run.config(LUMEN, WALL), "--exact", code=1)
        assert "1 ignored_pixels" not in said and "1 regions_lost" in said
        assert [t["data"]["image"] for t in run.tasks] == ["case_1_0000.png"]
        found = run.label_map(0, LUMEN, WALL)
        assert (found[5, 4], found[5, 10]) == (1, 2)


def test_masks_of_several_observers(run: _Import) -> None:
    folder = run.folder / "eyes"
    for name in ("x_1stHO", "x_2ndHO", "y_1stHO"):
        _mask(folder / f"{name}.png", 255)
    for name in "xy":
        Image.new("RGB", SIZE_HW[::-1]).save(folder / f"{name}.jpg")
    config = run.config(LUMEN)
    said = run(folder, "masks", *config, "--images", folder)
    assert "1 image_missing" in said  # x_2ndHO is of no image; which observer counts is asked
    assert [t["data"]["image"] for t in run.tasks] == ["x.jpg", "y.jpg"]
    run(folder, "masks", *config, "--images", folder, "--mask-name", "{name}_2ndHO")
    assert [t["data"]["image"] for t in run.tasks] == ["x.jpg"]
    _mask(folder / "x_mask.png", 255)
    said = run(folder, "masks", *config, "--images", folder)
    assert "2 ambiguous_image" in said
    with pytest.raises(FileFormatError, match="holds no label maps called"):
        run(folder, "masks", *config, "--mask-name", "{name}_3rdHO")


def test_colours_are_named_by_labels_or_by_hand(run: _Import) -> None:
    colors = np.zeros((*SIZE_HW, 3), dtype=np.uint8)
    colors[2:12, 2:7], colors[2:12, 8:13] = (255, 0, 0), (0, 128, 0)
    folder = run.folder / "masks"
    folder.mkdir()
    Image.fromarray(colors).save(folder / "a.png")
    with pytest.raises(FileFormatError, match="colour picture") as caught:
        run(folder, "masks")
    assert "--map '#008000=CLASS'" in caught.value.remedy
    run(folder, "masks", *run.config(LUMEN, WALL), "--exact")
    found = run.label_map(0, LUMEN, WALL)
    assert (found[5, 4], found[5, 10]) == (1, 2)  # the labels' own colours
    with pytest.raises(SettingsError, match="colour picture"):
        run(folder, "masks", *run.config("value='p'", "value='q'"))
    by_hand = ("--map", "#FF0000=q", "--map", "#008000=")
    run(folder, "masks", *run.config("value='p'", "value='q'"), *by_hand, "--exact")
    found = run.label_map(0, "value='p'", "value='q'")
    assert (found[5, 4], found[5, 10]) == (2, 0)
    run.out.unlink()
    run(folder, "masks", "--map", "#ff0000=lumen", "--map", "#008000=wall", "--exact")
    labels = {r["value"]["polygonlabels"][0] for r in run.tasks[0]["annotations"][0]["result"]}
    assert labels == {"lumen", "wall"}


def test_a_picture_without_black_is_no_mask_until_its_background_is_named(run: _Import) -> None:
    colors = np.full((*SIZE_HW, 3), (250, 250, 0), dtype=np.uint8)
    colors[2:12, 2:7] = (255, 0, 0)
    folder = run.folder / "masks"
    folder.mkdir()
    Image.fromarray(colors).save(folder / "a.png")
    said = run(folder, "masks", *run.config(LUMEN), code=1)
    assert "background is not known" in said
    run(folder, "masks", *run.config(LUMEN), "--map", "#fafa00=", "--exact")
    assert (run.label_map(0, LUMEN) == 1).sum() == 50


@pytest.mark.parametrize(
    ("name", "words"),
    [("photo", "is a colour picture of"), ("soft", "antialiased"), ("text", "is no image")],
)
def test_the_reason_found_is_the_reason_told(run: _Import, name: str, words: str) -> None:
    folder = run.folder / "masks"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), dtype=np.uint8)
    if name == "text":
        (folder / "a.png").write_text("no picture")
    else:
        Image.fromarray(noise if name == "photo" else noise[..., 0]).save(folder / "a.png")
    with pytest.raises(FileFormatError, match=words):
        run(folder, "masks")
    said = run(folder, "masks", *run.config(LUMEN), code=1)
    assert words in said


def test_yolo_into_a_tasks_file(run: _Import) -> None:
    root = run.folder / "data"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.new("L", SIZE_HW[::-1]).save(root / "images" / f"{name}.png")
    (root / "labels" / "a.txt").write_text("1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    (root / "labels" / "b.txt").write_text("")
    (root / "data.yaml").write_text("names: [wall, lumen]")
    said = run(root, "yolo", *run.config(LUMEN, WALL))
    assert "1 empty" in said and "1 not_labelled" in said
    assert (run.label_map(0, LUMEN, WALL) == 1).sum() == 12 * 8
    run(root, "yolo", *run.config(LUMEN, WALL), "--empty-as-negative")
    assert [len(t["annotations"][0]["result"]) for t in run.tasks] == [1, 0]
    # Without the images nothing says how large they are.
    said = run(root / "labels" / "..", "yolo", "--images", run.folder, code=1)
    assert "2 image_missing" in said


def test_ignored_pixels_become_the_label_that_is_named_for_them(run: _Import) -> None:
    masks = run.folder / "masks"
    masks.mkdir()
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[3:11, 4:14], mask[:, 20:] = 1, 2
    Image.fromarray(mask).save(masks / "a.png")
    (masks / "classes.json").write_text('{"background": 0, "lumen": 1, "(ignored)": 2}')
    Image.new("L", SIZE_HW[::-1]).save(run.folder / "a.png")
    labels = (LUMEN, "value='Unclear'")
    where = ("--images", run.folder, *run.config(*labels))
    output = run(masks, "masks", *where, "--ignore-label", "Unclear", "--exact")
    assert "to be ignored" not in output
    np.testing.assert_array_equal(run.label_map(0, *labels), mask)
    run.out.unlink()
    output = run(masks, "masks", *where, "--exact", code=0)
    assert "to be ignored in 200 pixels" in output
    np.testing.assert_array_equal(run.label_map(0, *labels), np.where(mask == 2, 0, mask))
