"""Masks with a folder for every class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.imports.formats import format_by_name
from converters.imports.source import ImportedImage, ImportOptions
from converters.masks.mask_folders import folder_of_masks, folders_of_classes
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask


def _save(path: Path, columns: slice, value: int = 255, width: int = 12) -> None:
    array = np.zeros((6, width), np.uint8)
    array[1:5, columns] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _read(folder: Path) -> list[ImportedImage | LeftOut]:
    return list(format_by_name("masks").read(folder, ImportOptions()))


def _images(folder: Path) -> list[ImportedImage]:
    return [entry for entry in _read(folder) if isinstance(entry, ImportedImage)]


def test_classes_that_do_not_overlap_make_one_label_map(tmp_path: Path) -> None:
    _save(tmp_path / "lumen" / "a.png", slice(1, 4))
    _save(tmp_path / "wall" / "a_mask.png", slice(4, 7), value=1)
    _save(tmp_path / "wall" / "b.png", slice(0, 0))
    a, a_mask, b = sorted(_images(tmp_path), key=lambda image: image.key)
    assert a.label_map is not None and a_mask.label_map is not None
    assert a.label_names == {1: "lumen", 2: "wall"}
    assert np.unique(a.label_map).tolist() == [0, 1]
    assert a_mask.stems == ("a_mask", "a")
    assert b.is_empty and b.used_names == ()


def test_overlaps_are_kept_and_the_smaller_lies_on_top(tmp_path: Path) -> None:
    _save(tmp_path / "lumen" / "a.png", slice(3, 5))
    _save(tmp_path / "wall" / "a.png", slice(1, 9))
    (image,) = _images(tmp_path)
    assert image.label_map is None
    assert [region.class_name for region in image.regions] == ["wall", "lumen"]
    areas = [int(s.inside.sum()) for r in image.regions for s in r.shapes if type(s) is PixelMask]
    assert areas == [32, 8]


def test_faults_leave_the_whole_image_out(tmp_path: Path) -> None:
    _save(tmp_path / "lumen" / "a.png", slice(1, 4))
    _save(tmp_path / "wall" / "a.png", slice(4, 7), width=13)
    for column, value in ((2, 1), (6, 2)):
        _save(tmp_path / "wall" / f"{value}.png", slice(column, column + 2), value)
    two = np.zeros((6, 12), np.uint8)
    two[1, 1], two[2, 2] = 1, 2
    Image.fromarray(two).save(tmp_path / "lumen" / "b.png")
    said = [entry.message for entry in _read(tmp_path) if isinstance(entry, LeftOut)]
    assert len(said) == 2
    assert "several sizes" in said[0]
    assert "lumen/b.png holds 2 values beside 0" in said[1]


def test_a_file_says_which_folder_is_which_class(tmp_path: Path) -> None:
    _save(tmp_path / "masks" / "x_1" / "a.png", slice(1, 4))
    names = {"x/1": "x_1", "never drawn": "never_drawn"}
    (tmp_path / "classes.json").write_text(json.dumps(names))
    (image,) = _images(tmp_path)
    assert image.used_names == ("x/1",)


@pytest.mark.parametrize("names", [("images", "masks"), ("train", "val"), ("lumen",)])
def test_folders_that_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        _save(tmp_path / name / "a.png", slice(1, 4))
    assert folders_of_classes(tmp_path, {}) == {}
    with pytest.raises(FileFormatError, match="only the folder"):
        _read(tmp_path)


def test_masks_of_their_own_go_before_folders(tmp_path: Path) -> None:
    for place in ("a.png", "lumen/a.png", "wall/a.png"):
        _save(tmp_path / place, slice(1, 4))
    first, *rest = _read(tmp_path)
    assert isinstance(first, ImportedImage) and first.label_map is not None
    assert [entry.reason for entry in rest if isinstance(entry, LeftOut)] == ["not_read"] * 2
    assert folder_of_masks(tmp_path) == tmp_path
