"""YOLO data sets in the layouts in use; what has no label file is not labelled."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.imports.find import ImageFinder
from converters.imports.readers.yolo import read_yolo
from converters.imports.source import ImportedImage, ImportOptions
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import Polygon

SQUARE = "0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


def _write(root: Path, **files: str | None) -> None:
    """``a__b__c_txt="..."`` is the file a/b/c.txt; None is an image."""
    for key, text in files.items():
        path = root / (key.replace("__", "/").rpartition("_")[0] + "." + key.rpartition("_")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            Image.new("L", (50, 40)).save(path)
        else:
            path.write_text(text, encoding="utf-8")


def _read(path: Path, **options: object) -> list[ImportedImage | LeftOut]:
    return list(read_yolo(path, ImportOptions(**options)))  # type: ignore[arg-type]


def _images(entries: list[ImportedImage | LeftOut]) -> list[ImportedImage]:
    return [entry for entry in entries if isinstance(entry, ImportedImage)]


def test_every_kind_of_line(tmp_path: Path) -> None:
    lines = [
        f"0 {SQUARE}",
        "1 0.5 0.5 0.2 0.4",  # a box
        "1 0.5 0.5 0.2 0.4 0.93",  # a predicted box
        "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5",  # a box that is turned
        "0.0 0.1 0.1 0.9 0.1 0.5 1.2",  # a triangle that leaves the image
        "",
        "0 0.1 0.1 0.9",
        "0 0.1 0.1 0.9 0.1 0.5 0.9 0.7",  # a predicted triangle
        "0 0.1 0.1 0.9 0.1 0.5 0.9 1.7",
        "0 10 10 50 10 50 50",  # pixels
        "0 0.1 0.1 nan 0.1 0.5 0.9",
        "0.5 0.5 0.5 0.2 0.4",
        "-1 0.5 0.5 0.2 0.4",
        "7 0.5 0.5 0.2 0.4",
        "1 0.5 0.5 0 0.4",
        "lumen 0.5 0.5 0.2 0.4",
        "0 0.1 0.1 0.1 0.1 0.1 0.1",
    ]
    _write(tmp_path, images__a_png=None, labels__a_txt="\r\n".join(lines))
    _write(tmp_path, data_yaml="names: [lumen, wall]\n")
    (image,) = _images(_read(tmp_path))
    assert [region.class_name for region in image.regions] == [
        "lumen",
        "wall",
        "wall",
        "lumen",
        "lumen",
        "lumen",
    ]
    box = image.regions[1].shapes[0].exterior  # type: ignore[union-attr]
    np.testing.assert_allclose(box.min(axis=0), [0.4, 0.3])
    np.testing.assert_allclose(box.max(axis=0), [0.6, 0.7])
    assert [note.region_id for note in image.notes] == list(
        map(str, [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])
    )
    assert {note.reason for note in image.notes} == {"malformed_region", "no_class", "confidence"}
    assert image.is_relative
    assert not image.is_empty


def test_no_file_is_not_labelled_and_an_empty_file_is_empty(tmp_path: Path) -> None:
    _write(
        tmp_path,
        images__a_png=None,
        images__b_png=None,
        images__c_png=None,
        labels__a_txt=f"0 {SQUARE}\n",
        labels__b_txt=" \n",
    )
    entries = _read(tmp_path)
    assert [image.is_empty for image in _images(entries)] == [False, True]
    (left,) = [entry for entry in entries if isinstance(entry, LeftOut)]
    assert (left.reason, "'c.png'" in left.message) == ("not_labelled", True)
    assert _images(entries)[0].class_names == ("class_0",)


@pytest.mark.parametrize(
    ("files", "file_names"),
    [
        ({"images__a_jpg": None, "labels__a_txt": ""}, ["a.jpg"]),
        ({"images__train__a_JPG": None, "labels__train__a_txt": ""}, ["train/a.JPG"]),
        ({"train__images__a_png": None, "train__labels__a_txt": ""}, ["a.png"]),
        ({"a_png": None, "a_txt": "", "classes_txt": "x", "train_txt": "a.png"}, ["a.png"]),
        ({"labels__a_txt": ""}, ["a.png"]),  # images elsewhere
    ],
)
def test_layouts(tmp_path: Path, files: dict[str, str | None], file_names: list[str]) -> None:
    _write(tmp_path, **files)
    images = _images(_read(tmp_path))
    assert [image.file_name for image in images] == file_names
    has_image = any(text is None for text in files.values())
    assert (images[0].path is not None) == has_image
    finder = ImageFinder(None)
    assert finder.name_of(images[0], finder.find(images[0])) == file_names[0]


def test_images_in_a_folder_of_their_own_are_found_by_stem(tmp_path: Path) -> None:
    _write(tmp_path, labels__train__a_txt="", elsewhere__train__a_jpeg=None)
    (image,) = _images(_read(tmp_path))
    finder = ImageFinder(tmp_path / "elsewhere")
    found = finder.find(image)
    assert found == tmp_path / "elsewhere" / "train" / "a.jpeg"
    assert finder.name_of(image, found) == "train/a.jpeg"


@pytest.mark.parametrize(
    "text",
    [
        "names: [lumen, wall]",
        "names: ['lumen', \"wall\"]  # two",
        "names: [\n  lumen,\n  wall,\n]\nnc: 2",
        "names:\n  0: lumen\n  1: wall\nnc: 2",
        "names:\n  - lumen\n  - wall",
        "names:\n- lumen\n- 'wall'\nnc: 2\n",
        "nc: 2\nnames: {0: lumen, 1: wall}",
        "names: {\n  0: lumen,\n  1: 'wall'}",
        "names:\n  # the classes\n  0: 'lumen'  # inner\n\n  1: wall",
        "\ufeffnames: [lumen, wall]\r\ntrain: images\r\n",
    ],
)
@pytest.mark.parametrize("is_named", [False, True])
def test_names_in_data_yaml(tmp_path: Path, text: str, is_named: bool) -> None:
    _write(tmp_path, labels__a_txt=f"1 {SQUARE}\n0 {SQUARE}")
    (tmp_path / "data.yaml").write_bytes(text.encode())
    (image,) = _images(_read(tmp_path / "data.yaml" if is_named else tmp_path))
    assert image.class_names == ("wall", "lumen")


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_names_in_a_list(tmp_path: Path, place: str) -> None:
    _write(tmp_path, labels__a_txt=f"1 {SQUARE}")
    (tmp_path / place).write_text("\ufefflumen\nouter wall\n\n", encoding="utf-8")
    (image,) = _images(_read(tmp_path))
    assert image.class_names == ("outer wall",)
    (image,) = _images(_read(tmp_path, classes=("p", "q")))
    assert image.class_names == ("q",)


def test_keypoints_are_no_polygon(tmp_path: Path) -> None:
    _write(tmp_path, labels__a_txt="0 0.5 0.5 0.2 0.4 0.1 0.1 2 0.9 0.9 2\n")
    _write(tmp_path, data_yaml="kpt_shape: [2, 3]\nnames: [bug]\n")
    (image,) = _images(_read(tmp_path))
    (shape,) = image.regions[0].shapes
    assert isinstance(shape, Polygon)
    np.testing.assert_allclose(shape.exterior.max(axis=0), np.array([0.6, 0.7]))


def test_nothing_of_yolo_says_so(tmp_path: Path) -> None:
    _write(tmp_path, readme_txt="hello")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "data.yaml"):
        with pytest.raises(FileFormatError, match="no label files of YOLO"):
            _read(path)
    _write(tmp_path, labels__a_txt="0")
    (tmp_path / "labels" / "b.txt").write_bytes(b"\xff\xfe0\x00")
    entries = _read(tmp_path)
    assert [note.reason for note in _images(entries)[0].notes] == ["malformed_region"]
    assert [e.reason for e in entries if isinstance(e, LeftOut)] == ["malformed_image"]


def test_the_folder_of_labels_and_the_other_unicode_form(tmp_path: Path) -> None:
    image = tmp_path / "images" / (unicodedata.normalize("NFD", "größe") + ".png")
    _write(tmp_path, labels__größe_txt=f"0 {SQUARE}", data_yaml="names: [lumen]\n")
    image.parent.mkdir()
    image.write_bytes(b"")
    (found,) = _images(_read(tmp_path / "labels"))
    assert found.path == image
    assert found.class_names == ("lumen",)


def test_images_of_several_splits_stay_apart(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        _write(tmp_path, **{f"{split}__images__a_png": None, f"{split}__labels__a_txt": ""})
    images = _images(_read(tmp_path))
    assert [i.file_name for i in images] == ["train/images/a.png", "valid/images/a.png"]
    finder = ImageFinder(tmp_path / "valid" / "images")
    assert finder.find(images[1]) == tmp_path / "valid" / "images" / "a.png"
