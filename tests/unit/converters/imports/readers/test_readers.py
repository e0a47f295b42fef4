from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from converters.imports.formats import FORMATS, format_by_name
from converters.imports.source import ImportedImage, ImportOptions
from converters.painting.rasterize import shape_to_mask
from domain.annotation import LeftOut
from domain.errors import FileFormatError, NnloopError, SettingsError
from tests.needed import real_images
from tests.unit.converters.exports.test_run import _mutated

Entries = list[ImportedImage | LeftOut]


def _read(name: str, path: Path, **options: Any) -> Entries:
    return list(format_by_name(name).read(path, ImportOptions(**options)))


def _image(entries: Entries, index: int = 0) -> ImportedImage:
    entry = entries[index]
    assert isinstance(entry, ImportedImage), entry
    return entry


def _area(image: ImportedImage, size_hw: tuple[int, int] = (100, 100)) -> list[int]:
    return [
        int(np.logical_or.reduce([shape_to_mask(s, size_hw) for s in region.shapes]).sum())
        for region in image.regions
    ]


def _via_region(shape: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": about}


VIA_SHAPES: list[dict[str, Any]] = [
    {"name": "polygon", "all_points_x": [10, 30, 30, 10], "all_points_y": [10, 10, 20, 20]},
    {"name": "rect", "x": 5, "y": 5, "width": 10, "height": 4},
    {"name": "circle", "cx": 50, "cy": 50, "r": 20},
    {"name": "ellipse", "cx": 50, "cy": 50, "rx": 30, "ry": 10, "theta": np.pi / 2},
]


@pytest.mark.parametrize("form", ["1", "2", "project"])
def test_via_shapes_in_every_form(tmp_path: Path, form: str) -> None:
    regions: Any = [_via_region(shape, kind="bug", note="") for shape in VIA_SHAPES]
    if form == "1":
        regions = {str(i): r for i, r in enumerate(regions)}
    images: Any = {"a.png123": {"filename": "a.png", "size": 123, "regions": regions}}
    if form == "project":
        images = {"_via_settings": {"x": 1}, "_via_img_metadata": images, "_via_attributes": {}}
    path = tmp_path / "via.json"
    path.write_text(json.dumps(images))
    (entry,) = _read("via", path)
    image = _image([entry])
    areas = _area(image)
    assert areas[:2] == [200, 40]
    assert areas[2:] == pytest.approx([np.pi * 400, np.pi * 300], rel=0.02)
    upright = shape_to_mask(image.regions[3].shapes[0], (100, 100))
    assert upright[25, 50]
    assert not upright[50, 25]
    assert image.class_names == ("bug",)


def test_via_says_what_it_leaves_out(tmp_path: Path) -> None:
    shapes = [
        _via_region(VIA_SHAPES[0]),
        _via_region({"name": "polyline", "all_points_x": [1], "all_points_y": [1]}, kind="x"),
        _via_region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}, kind="x"),
        _via_region(VIA_SHAPES[1], kind={"wing": True, "leg": False}),
        7,
    ]
    path = tmp_path / "via.json"
    path.write_text(json.dumps({"k": {"filename": "a.png", "regions": shapes}, "j": {"x": 1}}))
    entries = _read("via", path)
    image = _image(entries)
    assert [note.reason for note in image.notes] == [
        "no_class",
        "no_area",
        "malformed_region",
        "malformed_region",
    ]
    assert image.class_names == ("wing",)
    assert isinstance(entries[1], LeftOut)
    assert "'j'" in entries[1].message
    assert len(_image(_read("via", path, default_class="bug")).regions) == 2


def test_the_real_via_files() -> None:
    insects = real_images("insects")
    images = [_image([e]) for e in _read("via", insects / "train_via_region_data.json")]
    assert (len(images), sum(len(i.regions) for i in images)) == (24, 520)
    assert {name for i in images for name in i.class_names} == {"kudzu"}
    images = [_image([e]) for e in _read("via", insects / "val_via_region_data.json")]
    assert (len(images), sum(len(i.regions) for i in images)) == (16, 0)
    assert sum(len(i.notes) for i in images) == 349


def _entry(number: int, category: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 5, "category_id": category, **fields}


def _coco() -> dict[str, Any]:
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[10:20, 10:30] = 1
    mask[12:15, 12:15] = 0
    packed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    edges = np.flatnonzero(np.diff(mask.ravel(order="F").astype(int))) + 1
    runs = np.diff([0, *edges, mask.size]).tolist()
    square, box = [1, 1, 11, 1, 11, 11, 1, 11], [20, 1, 30, 1, 30, 6, 20, 6]
    return {
        "annotations": [  # before the images they belong to
            _entry(1, 3, segmentation=[square]),
            _entry(2, 3, segmentation=[square, box]),
            _entry(3, 4, segmentation={"size": [40, 60], "counts": packed}),
            _entry(4, 4, segmentation={"size": [40, 60], "counts": runs}),
            _entry(5, 4, bbox=[2, 3, 4, 5]),
            _entry(6, 9, segmentation=[square]),
            _entry(7, 3, segmentation=[[1, 2, 3]]),
            _entry(8, 3, segmentation={"size": [4, 6], "counts": "1"}),
            {**_entry(9, 3, segmentation=[square]), "image_id": 77},
        ],
        "images": [
            {"id": 5, "file_name": "a.png", "width": 60, "height": 40},
            {"id": 6, "file_name": "b.png", "width": 60, "height": 40},
        ],
        "categories": [{"id": 3, "name": "cell"}, {"id": 4, "name": "nucleus"}],
    }


def test_coco_polygons_rle_and_boxes(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(_coco()))
    entries = _read("coco", path)
    image = _image(entries)
    assert image.size_hw == (40, 60)
    assert _area(image, (40, 60)) == [100, 150, 191, 191, 20]
    names = [region.class_name for region in image.regions]
    assert names == ["cell", "cell", "nucleus", "nucleus", "nucleus"]
    assert [(n.region_id, n.reason) for n in image.notes] == [
        ("5", "box_only"),
        ("6", "no_class"),
        ("7", "malformed_region"),
        ("8", "malformed_region"),
    ]
    assert _image(entries, 1).regions == ()
    assert isinstance(entries[2], LeftOut)
    assert entries[2].message.startswith("1 annotation belongs")


def _png64(array: Any) -> str:
    return base64.b64encode(cv2.imencode(".png", array)[1].tobytes()).decode()


def _shape(label: str, kind: str, points: Any, **fields: Any) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, **fields}


def test_labelme_shapes_groups_and_masks(tmp_path: Path) -> None:
    mask = np.zeros((5, 8), dtype=np.uint8)
    mask[1:4, 2:6] = 1
    box, other = [[10, 10], [20, 15]], [[50, 50], [40, 40]]
    value = {
        "imagePath": "..\\scans\\a.jpg",
        "imageHeight": 100,
        "imageWidth": 100,
        "shapes": [
            _shape("x", "rectangle", box, group_id=1),
            _shape("x", "rectangle", other, group_id=1),
            {"label": "y", "points": [[0, 0], [10, 0], [0, 10]]},
            _shape("y", "circle", [[50, 50], [50, 60]]),
            _shape("z", "mask", [[30, 40], [38, 45]], mask=_png64(mask)),
            _shape("y", "linestrip", box),
            _shape(" ", "rectangle", box),
            _shape("y", "mask", box, mask="%%"),
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(value))
    (tmp_path / "b.json").write_text('{"shapes": ')
    entries = _read("labelme", tmp_path)
    image = _image(entries)
    assert (image.file_name, image.size_hw) == ("a.jpg", (100, 100))
    areas = _area(image)
    assert areas[0] == 150
    assert areas[2] == pytest.approx(np.pi * 100, rel=0.03)
    assert areas[3] == 12
    assert [note.reason for note in image.notes] == ["no_area", "no_class", "malformed_region"]
    assert shape_to_mask(image.regions[3].shapes[0], (100, 100))[41, 32]
    assert isinstance(entries[1], LeftOut)
    assert "b.json" in entries[1].message


def test_masks_by_value_palette_or_white(tmp_path: Path) -> None:
    label_map = np.zeros((6, 7), dtype=np.uint8)
    label_map[1:3, 1:4] = 2
    palette = Image.fromarray(label_map, mode="P")
    palette.putpalette([0, 0, 0, 9, 9, 9, 255, 0, 0])
    palette.save(tmp_path / "a.png")
    Image.fromarray(np.where(label_map, 255, 0).astype(np.uint8)).save(tmp_path / "b.png")
    Image.fromarray(np.where(label_map, 9, 1).astype(np.uint8)).save(tmp_path / "c.png")
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "d.png")
    (tmp_path / "e.png").write_bytes(b"no picture")
    (tmp_path / "classes.json").write_text('{"background": 0, "lumen": 1, "wall": 2}')
    entries = _read("masks", tmp_path)
    assert [_image(entries, i).class_names for i in range(3)] == [("lumen", "wall")] * 3
    wanted = (label_map, label_map // 2, np.where(label_map, 0, 1))
    for i, values in enumerate(wanted):
        found = _image(entries, i).label_map
        assert found is not None
        assert (found == values).all()
    assert [note.reason for note in _image(entries, 2).notes] == ["unknown_value"]
    assert [e.reason for e in entries[3:] if isinstance(e, LeftOut)] == ["malformed_mask"] * 2
    named = _image(_read("masks", tmp_path, classes=("p", "q")))
    assert named.class_names == ("p", "q")
    (tmp_path / "classes.json").unlink()
    assert _image(_read("masks", tmp_path)).class_names == ("class_2",)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_is_not_of_the_format_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    for source in (path, tmp_path / "missing"):
        with pytest.raises(FileFormatError):
            if not any(isinstance(e, LeftOut) for e in _read(name, source)):
                pytest.fail("took it for its own")
            raise FileFormatError("left out")
    with pytest.raises(SettingsError, match="no import format"):
        format_by_name("x")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coco", "via", "labelme"])
def test_fuzzed_files_end_in_entries_or_a_clear_error(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    whole: Any = _coco()
    if name == "via":
        regions = [_via_region(shape, kind="bug") for shape in VIA_SHAPES]
        whole = {f"k{i}": {"filename": f"{i}.png", "regions": regions} for i in range(3)}
    elif name == "labelme":
        shape = {"label": "x", "shape_type": "circle", "points": [[5, 5], [6, 6]], "group_id": 1}
        whole = {"imagePath": "a", "imageHeight": 9, "imageWidth": 9, "shapes": [shape] * 4}
    path = tmp_path / "x.json"
    n_entries = 0
    for _ in range(400):
        path.write_text(json.dumps(_mutated(_mutated(whole, rng), rng)))
        try:
            for entry in _read(name, path):
                n_entries += 1
                if isinstance(entry, ImportedImage):
                    _area(entry, (50, 50))
        except NnloopError as error:
            assert str(error)
    assert n_entries > 100


def test_via_numbers_as_classes_and_rectangles_from_any_corner(tmp_path: Path) -> None:
    rect = {"name": "rect", "x": 15, "y": 9, "width": -10, "height": -4}
    value = {"a": {"filename": "a.png", "regions": [_via_region(rect, kind=3, score=np.nan)]}}
    path = tmp_path / "via.json"
    path.write_text(json.dumps(value))
    image = _image(_read("via", path, class_key="kind"))
    assert image.class_names == ("3",)
    assert _area(image) == [40]
    assert image.notes == ()


def test_via_numbers_may_be_texts(tmp_path: Path) -> None:
    shapes: list[dict[str, Any]] = [
        {key: value if key == "name" else _as_texts(value) for key, value in shape.items()}
        for shape in VIA_SHAPES
    ]
    regions = [_via_region(shape, kind="bug") for shape in shapes]
    path = tmp_path / "via.json"
    path.write_text(json.dumps({"a": {"filename": "a.png", "regions": regions}}))
    assert _area(_image(_read("via", path)))[:2] == [200, 40]


def test_a_project_of_via_3_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "via.json"
    path.write_text('{"project": {"pid": "__VIA__", "vid_list": ["1"]}, "metadata": {}}')
    with pytest.raises(FileFormatError, match=r"via\.json is a project of VIA 3"):
        _read("via", path)


def _as_texts(value: Any) -> Any:
    return [str(n) for n in value] if isinstance(value, list) else str(value)


@pytest.mark.parametrize("name", ["coco", "via"])
def test_a_folder_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(FileFormatError, match="is a folder") as caught:
        list(format_by_name(name).entries(tmp_path, ImportOptions()))
    assert "result.json" in caught.value.remedy


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("start", [b"\x1f\x8b\x08\x00", b"PK\x03\x04"])
def test_a_packed_file_is_called_so(tmp_path: Path, name: str, start: bytes) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(start)
    with pytest.raises(FileFormatError, match=r"export\.json is packed"):
        list(format_by_name(name).entries(path, ImportOptions()))


def test_what_lies_beside_masks_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "labelsTr"
    for place in (folder, folder / "p2", tmp_path / "labelsTs"):
        place.mkdir()
        Image.fromarray(np.ones((4, 5), np.uint8)).save(place / "a.png")
    np.savez(folder / "b.npz", np.ones((4, 5), bool))
    _, *notes = _read("masks", tmp_path)
    assert [note.reason for note in notes if isinstance(note, LeftOut)] == ["not_read"] * 3
    said = " ".join(note.message for note in notes if isinstance(note, LeftOut))
    assert all(name in said for name in ("'p2'", "'labelsTs'", "'b.npz'"))
    (folder / "a.png").unlink()
    with pytest.raises(FileFormatError, match=r"only the folder 'p2'.*'b\.npz'"):
        _read("masks", folder)
