"""LabelMe files as LabelMe, X-AnyLabeling and hand-written scripts have them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.imports.readers.labelme import read_labelme
from converters.imports.source import ImportedImage, ImportOptions
from converters.painting.rasterize import shape_to_mask

SIZE_HW = (40, 50)
CORNERS = [[10, 5], [30, 5], [30, 15], [10, 15]]


def _read(tmp_path: Path, *shapes: Any, mark: bytes = b"", **more: Any) -> ImportedImage:
    value = {"imagePath": "a.jpg", "imageHeight": 40, "imageWidth": 50, "shapes": list(shapes)}
    (tmp_path / "a.json").write_bytes(mark + json.dumps({**value, **more}).encode())
    (image,) = read_labelme(tmp_path, ImportOptions())
    assert isinstance(image, ImportedImage), image
    return image


def _areas(image: ImportedImage) -> list[int]:
    return [
        int(np.logical_or.reduce([shape_to_mask(s, SIZE_HW) for s in region.shapes]).sum())
        for region in image.regions
    ]


def _mask(mode: str) -> str:
    inside = np.zeros((11, 21), np.uint8)
    inside[0:10, 0:20] = 1
    image = Image.fromarray(inside.astype(bool)) if mode == "1" else Image.fromarray(inside * 255)
    if mode == "RGBA":
        image = Image.merge("RGBA", [Image.new("L", image.size, 255)] * 3 + [image])
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("kind", "points", "more"),
    [
        ("polygon", CORNERS, {}),
        (None, CORNERS, {}),  # LabelMe 3 names no type
        ("rectangle", [CORNERS[0], CORNERS[2]], {}),
        ("rectangle", [CORNERS[2], CORNERS[0]], {}),
        ("rectangle", CORNERS, {}),
        ("rectangle", [*CORNERS, CORNERS[0]], {}),
        ("Rectangle", [CORNERS[0], CORNERS[2]], {"score": float("nan")}),
        ("rotation", CORNERS, {"direction": 1.2}),
        ("quadrilateral", CORNERS, {}),
        ("oriented_rectangle", CORNERS, {}),
        ("rectangle", [CORNERS[i] for i in (0, 1, 3, 2)], {}),  # not in turn
        ("rotation", [CORNERS[i] for i in (2, 0, 3, 1)], {}),
        ("polygon", [[str(x), f"{y}.0"] for x, y in CORNERS], {}),  # numbers as texts
        ("rectangle", [["10", "5"], ["30", "15"]], {}),
        ("mask", [[10, 5], [31, 16]], {"mask": _mask("1")}),  # a box that ends behind the pixels
        ("mask", [[10, 5], [30, 15]], {"mask": _mask("1")}),
        ("mask", [[10, 5], [30, 15]], {"mask": _mask("L")}),
        ("mask", [[10, 5], [30, 15]], {"mask": "data:image/png;base64," + _mask("L")}),
        ("mask", [[10, 5], [30, 15]], {"mask": _mask("RGBA")}),  # white, the mask in its alpha
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_one_box_in_every_dialect(
    tmp_path: Path, kind: str | None, points: Any, more: dict[str, Any], mark: bytes
) -> None:
    shape = {"label": "cell", "points": points, **more}
    image = _read(tmp_path, shape if kind is None else {**shape, "shape_type": kind}, mark=mark)
    assert _areas(image) == [200]
    assert image.notes == ()
    assert image.class_names == ("cell",)


def test_a_turned_box_is_its_corners(tmp_path: Path) -> None:
    corners = [[20, 5], [30, 15], [20, 25], [10, 15]]
    image = _read(tmp_path, {"label": "x", "shape_type": "rotation", "points": corners})
    assert _areas(image) == [200]
    assert not shape_to_mask(image.regions[0].shapes[0], SIZE_HW)[6, 11]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"shape_type": "linestrip", "points": CORNERS}, "no_area"),
        ({"shape_type": "line", "points": CORNERS[:2]}, "no_area"),
        ({"shape_type": "point", "points": CORNERS[:1]}, "no_area"),
        ({"shape_type": "polygon", "points": CORNERS[:2]}, "malformed_region"),
        ({"shape_type": "rectangle", "points": CORNERS[:3]}, "malformed_region"),
        ({"shape_type": "rectangle", "points": [[1, 1], [1, 9]]}, "malformed_region"),
        ({"shape_type": "cuboid", "points": CORNERS}, "malformed_region"),
        ({"shape_type": "mask", "points": CORNERS[:2], "mask": "AAAA"}, "malformed_region"),
        ({"shape_type": "polygon", "points": "5,5"}, "malformed_region"),
        ({"shape_type": "polygon", "points": [[5, 5], [9, 9], [20, 20]]}, "malformed_region"),
        ({"shape_type": "rotation", "points": CORNERS[:3]}, "malformed_region"),
        # A mask of another size than its box would lie in the wrong place.
        (
            {"shape_type": "mask", "points": [[10, 5], [19, 9]], "mask": _mask("1")},
            "malformed_region",
        ),
    ],
)
def test_what_can_not_be_used_is_said_and_leaves_no_empty_image(
    tmp_path: Path, shape: dict[str, Any], reason: str
) -> None:
    image = _read(tmp_path, {"label": "x", **shape})
    assert [note.reason for note in image.notes] == [reason]
    assert image.regions == ()
    assert not image.is_empty


def test_what_hand_written_files_have(tmp_path: Path) -> None:
    shape = {"label": 3, "points": CORNERS}
    image = _read(tmp_path, shape, imageHeight=40.0, imageWidth=50.0, imagePath="..\\x\\b.png")
    assert (image.class_names, image.size_hw, image.file_name) == (("3",), (40, 50), "b.png")
    assert image.stems == ()
    nameless = _read(tmp_path, imagePath=None)
    assert nameless.stems == ("a",)
    assert nameless.is_empty


def test_a_mask_that_starts_outside_is_cut_and_not_moved(tmp_path: Path) -> None:
    shape = {"label": "cell", "shape_type": "mask", "points": [[-5, -2], [15, 8]]}
    image = _read(tmp_path, {**shape, "mask": _mask("1")})
    mask = shape_to_mask(image.regions[0].shapes[0], SIZE_HW)
    assert mask.sum() == 15 * 8
    assert mask[:8, :15].all()


def test_version_3_has_its_size_in_its_picture(tmp_path: Path) -> None:
    image = _read(
        tmp_path,
        {"label": "cell", "points": CORNERS},
        imageHeight=None,
        imageWidth=None,
        imageData=_mask("L"),
    )
    assert image.size_hw == (11, 21)
    for data in ("no picture", "", 5):
        assert _read(tmp_path, imageHeight=None, imageData=data).size_hw is None
    assert _read(tmp_path, imageHeight="40", imageWidth=50.0).size_hw == SIZE_HW


def test_utf_16_is_read(tmp_path: Path) -> None:
    value = {"imagePath": "ä.jpg", "shapes": [{"label": "größe", "points": CORNERS}]}
    (tmp_path / "a.json").write_bytes(json.dumps(value, ensure_ascii=False).encode("utf-16"))
    (image,) = read_labelme(tmp_path, ImportOptions())
    assert isinstance(image, ImportedImage)
    assert (image.file_name, image.class_names) == ("ä.jpg", ("größe",))


@pytest.mark.parametrize(
    ("file", "said", "name"),
    [
        ("a.json", "p1/a.jpg", "p1/a.jpg"),
        ("a.json", "p1\\a.jpg", "p1/a.jpg"),
        ("p2/a.json", "a.jpg", "p2/a.jpg"),
        ("a.json", "../images/a.jpg", "a.jpg"),
        ("a.json", "C:\\images\\a.jpg", "a.jpg"),
        ("a.json", "/images/a.jpg", "a.jpg"),
    ],
)
def test_images_in_several_folders_stay_apart(
    tmp_path: Path, file: str, said: str, name: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps({"imagePath": said, "shapes": []}))
    (image,) = read_labelme(tmp_path, ImportOptions())
    assert isinstance(image, ImportedImage)
    assert (image.file_name, image.key) == (name, file)


def test_no_group_is_no_common_group(tmp_path: Path) -> None:
    shapes = [{"label": "cell", "points": CORNERS, "group_id": group} for group in ("", "", 1, 1)]
    assert len(_read(tmp_path, *shapes).regions) == 3
