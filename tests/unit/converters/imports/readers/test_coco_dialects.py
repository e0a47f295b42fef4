"""COCO as different tools write it: every dialect is read, and what is lost is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from converters.imports.readers.coco import read_coco
from converters.imports.source import ImportedImage, ImportOptions
from converters.painting.rasterize import shape_to_mask
from domain.annotation import LeftOut

SIZE_HW = (24, 36)
SQUARE = [4, 3, 14, 3, 14, 11, 4, 11]
SQUARE_AREA = 80
BOX = [4, 3, 10, 8]


def _read(
    tmp_path: Path, annotations: list[dict[str, Any]], *, mark: str = "", **more: Any
) -> list[ImportedImage | LeftOut]:
    value = {
        "images": [{"id": 7, "file_name": "s.png", "width": SIZE_HW[1], "height": SIZE_HW[0]}],
        "categories": [{"id": 2, "name": "nodule"}],
        "annotations": annotations,
        **more,
    }
    path = tmp_path / "coco.json"
    path.write_text(mark + json.dumps(value), encoding="utf-8")
    return list(read_coco(path, ImportOptions()))


def _one(tmp_path: Path, **fields: Any) -> ImportedImage:
    annotation = {"id": 1, "image_id": 7, "category_id": 2, **fields}
    (image,) = _read(tmp_path, [annotation])
    assert isinstance(image, ImportedImage)
    return image


def _areas(image: ImportedImage, size_hw: tuple[int, int] = SIZE_HW) -> list[int]:
    return [
        int(np.logical_or.reduce([shape_to_mask(s, size_hw) for s in r.shapes]).sum())
        for r in image.regions
    ]


def _rle(kind: str) -> Any:
    mask = np.zeros(SIZE_HW, np.uint8, order="F")
    mask[3:11, 4:14] = 1
    if kind == "text":
        packed = coco_mask.encode(mask)
        return {"size": packed["size"], "counts": packed["counts"].decode()}
    if kind == "repr":
        return {"size": list(SIZE_HW), "counts": str(coco_mask.encode(mask)["counts"])}
    edges = np.flatnonzero(np.diff(mask.ravel(order="F").astype(int))) + 1
    runs = np.diff([0, *edges, mask.size])
    if kind == "float":
        return {"size": [24.0, 36.0], "counts": runs.astype(float).tolist()}
    return {"size": list(SIZE_HW), "counts": runs.tolist()}


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"segmentation": [SQUARE]}, None),
        ({"segmentation": SQUARE}, None),  # one flat list
        ({"segmentation": [[[4, 3], [14, 3], [14, 11], [4, 11]]]}, None),  # pairs
        ({"segmentation": [[4, 3], [14, 3], [14, 11], [4, 11]]}, None),
        ({"segmentation": [[*SQUARE, 4, 3]]}, None),  # closed
        ({"segmentation": [[float(n) for n in SQUARE]], "iscrowd": 0, "score": 0.5}, None),
        ({"segmentation": _rle("text")}, None),
        ({"segmentation": _rle("list"), "iscrowd": 1}, None),
        ({"segmentation": _rle("repr")}, None),  # str() of pycocotools' bytes
        ({"segmentation": _rle("float")}, None),
        ({"segmentation": [_rle("list")]}, None),
        ({"segmentation": [_rle("text"), [5, 4, 9, 4, 9, 8]]}, None),
        ({"segmentation": json.dumps([SQUARE])}, None),  # through a table
        ({"segmentation": [SQUARE], "area": float("nan"), "bbox": [float("nan")] * 4}, None),
        ({"segmentation": [], "bbox": BOX}, "box_only"),
        ({"segmentation": [[]], "bbox": BOX}, "box_only"),
        ({"segmentation": None, "bbox": BOX}, "box_only"),
        ({"segmentation": {}, "bbox": BOX}, "box_only"),
        ({"segmentation": [[4, 3, 14, 11]], "bbox": BOX}, "box_only"),  # two corners
        ({"segmentation": [4, 3, 14, 11], "bbox": BOX}, "box_only"),
        ({"segmentation": [[4, 3]], "bbox": [4.0, 3.0, 10.0, 8.0]}, "box_only"),
        ({"bbox": BOX}, "box_only"),
        ({"segmentation": [SQUARE, [20, 20, 22, 20]]}, "malformed_part"),
        ({"segmentation": [SQUARE, [1, 2, 3]]}, "malformed_part"),
        ({"segmentation": [[], SQUARE]}, None),
        ({"segmentation": [None, SQUARE]}, None),
        ({"segmentation": [[SQUARE]]}, None),  # in one list more
        ({"segmentation": [[str(n) for n in SQUARE]]}, None),  # numbers as texts
        ({"segmentation": [str(n) for n in SQUARE]}, None),
        ({"segmentation": {**_rle("text"), "size": [str(n) for n in SIZE_HW]}}, None),
        ({"segmentation": {**_rle("list"), "counts": str(_rle("list")["counts"])}}, None),
        ({"segmentation": [], "bbox": [str(n) for n in BOX]}, "box_only"),
        ({"segmentation": [], "bbox": str(BOX)}, "box_only"),
        ({"segmentation": [None], "bbox": BOX}, "box_only"),
        ({"segmentation": [[4, 3, 8, 3, 14, 3]], "bbox": BOX}, "box_only"),  # on a line
        ({"segmentation": {"size": list(SIZE_HW), "counts": []}, "bbox": BOX}, "box_only"),
        ({"segmentation": {"size": list(SIZE_HW), "counts": [24 * 36]}, "bbox": BOX}, "box_only"),
    ],
)
def test_one_square_in_every_dialect(
    tmp_path: Path, fields: dict[str, Any], note: str | None
) -> None:
    image = _one(tmp_path, **fields)
    assert _areas(image) == [SQUARE_AREA]
    assert [n.reason for n in image.notes] == ([note] if note else [])
    assert not image.is_empty


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"segmentation": [[4, 3, 14, 11]]},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": [["4", "3", "14", "three", "14", "11"]], "bbox": BOX},
        {"segmentation": {"size": list(SIZE_HW), "counts": [1, 2]}, "bbox": BOX},
        {"segmentation": [[4, 3, 8, 3, 14, 3]]},  # on a line
        {"bbox": "a box"},
        {"segmentation": [[4, 3, 14, None, 14, 11]], "bbox": None},
        {"bbox": [4, 3, 0, 8]},
        {"bbox": [4, 3, 10]},
        {"segmentation": {"size": [9, 9], "counts": "x"}},
        {"segmentation": {"size": list(SIZE_HW), "counts": [1, 2]}},
        {"segmentation": "SQUARE"},
    ],
)
def test_what_covers_nothing_is_lost_and_never_empty(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    image = _one(tmp_path, **fields)
    assert image.regions == ()
    assert [note.reason for note in image.notes] == ["malformed_region"]
    assert not image.is_empty


@pytest.mark.parametrize(
    ("image_id", "of_annotation", "category", "of_region"),
    [
        ("0001", "0001", 2, "2"),
        ("0001", 1, "2", 2),
        (1, "1", "02", 2),
        (1.0, 1, 2.0, 2),
        ("scan-a", "scan-a", "nod", "nod"),
        (" 1 ", "1", 2, 2),
        (1, "1.0", 2, "2.00"),  # through a table
        (20240101123456789012, "20240101123456789012", 2, 2),
        (1, 1, 7, "nodule"),  # by its name
        (0, 0, 0, 0),
    ],
)
def test_ids_are_numbers_or_texts(
    tmp_path: Path, image_id: Any, of_annotation: Any, category: Any, of_region: Any
) -> None:
    (image,) = _read(
        tmp_path,
        [
            {
                "id": "a",
                "image_id": of_annotation,
                "category_id": of_region,
                "segmentation": [SQUARE],
            }
        ],
        images=[{"id": image_id, "file_name": "s.png", "width": 36, "height": 24}],
        categories=[{"id": category, "name": "nodule"}],
    )
    assert isinstance(image, ImportedImage)
    assert image.class_names == ("nodule",)


def test_texts_that_only_look_like_one_number_stay_apart(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        [{"id": 1, "image_id": "01", "category_id": 2, "segmentation": [SQUARE]}],
        images=[
            {"id": name, "file_name": f"{name}.png", "width": 36, "height": 24}
            for name in ("1", "01")
        ],
    )
    regions = {i.file_name: len(i.regions) for i in found if isinstance(i, ImportedImage)}
    assert regions == {"1.png": 0, "01.png": 1}


@pytest.mark.parametrize("image_id", [True, None, [1], 1.5, "", "x" * 2000])
def test_ids_that_are_none_are_said(tmp_path: Path, image_id: Any) -> None:
    good = {"id": 7, "file_name": "s.png", "width": 36, "height": 24}
    found = _read(tmp_path, [], images=[{**good, "id": image_id}, good])
    assert [e.reason for e in found if isinstance(e, LeftOut)] == ["malformed_entry"]
    assert len(found) == 2


def test_an_rle_says_how_large_its_image_is(tmp_path: Path) -> None:
    (image,) = _read(
        tmp_path,
        [{"id": 1, "image_id": 7, "category_id": 2, "segmentation": _rle("text")}],
        images=[{"id": 7, "file_name": "s.png"}],
    )
    assert isinstance(image, ImportedImage)
    assert _areas(image) == [SQUARE_AREA]


def test_empty_is_only_what_has_no_annotation(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.png", "width": 36, "height": 24} for i in (1, 2)]
    unknown = {"id": 1, "image_id": 1, "category_id": 99, "segmentation": [SQUARE]}
    lost, empty = _read(tmp_path, [unknown], images=images, mark="\ufeff")
    assert isinstance(lost, ImportedImage) and isinstance(empty, ImportedImage)
    assert (lost.is_empty, empty.is_empty) == (False, True)
    assert "'99'" in lost.notes[0].message


@pytest.mark.parametrize("broken", [{"image_id": None}, {"image_id": float("nan")}, {}])
def test_an_annotation_of_nobody_knows_which_image_leaves_none_empty(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    fault, image = _read(
        tmp_path, [{"id": 1, "category_id": 2, "segmentation": [SQUARE], **broken}]
    )
    assert isinstance(fault, LeftOut) and isinstance(image, ImportedImage)
    assert fault.reason == "malformed_entry"
    assert not image.is_empty
    assert [note.reason for note in image.notes] == ["malformed_entry"]


def test_an_annotation_of_an_image_that_the_file_lacks_leaves_none_empty(tmp_path: Path) -> None:
    image, fault = _read(tmp_path, [{"id": 1, "image_id": 8, "category_id": 2, "bbox": BOX}])
    assert isinstance(fault, LeftOut) and isinstance(image, ImportedImage)
    assert fault.message == "1 annotation belongs to images the file lacks."
    assert not image.is_empty


def test_images_of_one_name_go_by_their_paths(tmp_path: Path) -> None:
    paths = ["/data/p1/s.png", "\\data\\p2\\s.png", "/data/t.png"]
    images = [
        {"id": i, "file_name": path.replace("\\", "/").split("/")[-1], "path": path}
        for i, path in enumerate(paths)
    ]
    found = _read(tmp_path, [], images=images)
    assert [i.file_name for i in found if isinstance(i, ImportedImage)] == [*paths[:2], "t.png"]


@pytest.mark.parametrize("segmentation", ["a square", '"a square"', "[[4, 3"])
def test_a_text_that_is_no_segmentation_is_not_replaced_by_its_box(
    tmp_path: Path, segmentation: str
) -> None:
    image = _one(tmp_path, segmentation=segmentation, bbox=BOX)
    assert (image.regions, image.is_empty) == ((), False)
    assert [note.reason for note in image.notes] == ["malformed_region"]


@pytest.mark.parametrize(
    "about",
    [
        {"file_name": "s.png", "width": 36.0, "height": "24"},
        {"file_name": "s.png", "width": 36, "height": 24, "license": float("nan")},
        {"file_name": None, "path": "s.png", "width": "36.0", "height": 24},
    ],
)
def test_images_as_tables_and_other_tools_write_them(tmp_path: Path, about: dict[str, Any]) -> None:
    annotation = {"id": 1, "image_id": 7, "category_id": 2, "segmentation": [SQUARE]}
    categories = [{"id": 2, "name": 5}]
    (image,) = _read(tmp_path, [annotation], images=[{"id": 7, **about}], categories=categories)
    assert isinstance(image, ImportedImage)
    assert (image.file_name, image.size_hw, image.class_names) == ("s.png", SIZE_HW, ("5",))


def test_an_rle_gives_its_image_the_size(tmp_path: Path) -> None:
    annotation = {"id": 1, "image_id": 7, "category_id": 2, "segmentation": _rle("list")}
    (image,) = _read(tmp_path, [annotation], images=[{"id": 7, "file_name": "s.png"}])
    assert isinstance(image, ImportedImage)
    assert image.size_hw == SIZE_HW
