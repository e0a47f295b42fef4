"""Which files of a folder are masks, and of which images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.classes.integers import classes_beside
from converters.masks.mask_folders import MaskName, folder_of_masks, images_beside, mask_files
from domain.errors import FileFormatError, SettingsError


def _touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("stem", "names"),
    [
        ("a", ("a",)),
        ("a_mask", ("a_mask", "a")),
        ("Image_01L_1stHO", ("Image_01L_1stHO", "Image_01L")),
        ("Image_01L_2ndHO", ("Image_01L_2ndHO",)),  # the second observer is asked for
        ("a_seg", ("a_seg", "a")),
        ("a-Segmentation", ("a-Segmentation", "a")),
        ("ISIC_1_segmentation", ("ISIC_1_segmentation", "ISIC_1")),
        ("mask_12", ("mask_12", "12")),
        ("21_manual1", ("21_manual1", "21")),
        ("a_0000", ("a_0000", "a")),
        ("a.jpg", ("a.jpg", "a")),
        ("a.JPG_mask", ("a.JPG_mask", "a.JPG", "a")),
        ("mask", ("mask",)),
        ("labels_left", ("labels_left",)),
    ],
)
def test_usual_names(stem: str, names: tuple[str, ...]) -> None:
    assert MaskName().names_of(stem) == names


@pytest.mark.parametrize(
    ("pattern", "stem", "names"),
    [
        ("{name}_2ndHO", "a_2ndHO", ("a",)),
        ("{name}_2ndHO", "a_1stHO", ()),
        ("{name}_2ndHO.png", "a_2ndHO", ("a",)),
        ("lab-{name}", "lab-a", ("a",)),
        ("x{name}x", "x", ()),
        ("{name}", "a_mask", ("a_mask",)),
    ],
)
def test_a_pattern_decides_alone(pattern: str, stem: str, names: tuple[str, ...]) -> None:
    assert MaskName(pattern).names_of(stem) == names


@pytest.mark.parametrize("pattern", ["_mask", "{name}_{name}", "{image}_mask"])
def test_a_pattern_without_its_name_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="--mask-name"):
        MaskName(pattern)


def test_images_beside_their_masks_are_none(tmp_path: Path) -> None:
    folder = _touch(tmp_path / "x", "a.png", "a_mask.png", "b_mask.png", ".hidden.png", "n.txt")
    assert [file.path.name for file in mask_files(folder)] == ["a_mask.png", "b_mask.png"]
    _touch(folder, "a_2ndHO.png")
    found = mask_files(folder, MaskName("{name}_2ndHO"))
    assert [(file.path.name, file.names) for file in found] == [("a_2ndHO.png", ("a",))]


def test_lossy_pictures_count_where_nothing_else_is(tmp_path: Path) -> None:
    folder = _touch(tmp_path / "x", "a.jpg", "b.JPEG")
    assert [file.path.name for file in mask_files(folder)] == ["a.jpg", "b.JPEG"]
    _touch(folder, "a_1stHO.png")
    assert [file.path.name for file in mask_files(folder)] == ["a_1stHO.png"]


def test_nothing_to_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no folder"):
        mask_files(tmp_path / "nowhere")
    folder = _touch(tmp_path / "x", "note.txt")
    with pytest.raises(FileFormatError, match="no label maps"):
        mask_files(folder)
    _touch(folder, "a_mask.png")
    with pytest.raises(FileFormatError, match=r"'\{name\}_gt' \(but a_mask.png\)"):
        mask_files(folder, MaskName("{name}_gt"))


def test_nnunets_own_folders(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_X"
    labels, images = _touch(root / "labelsTr", "a.png"), _touch(root / "imagesTr", "a_0000.png")
    assert folder_of_masks(root) == labels
    assert folder_of_masks(labels) == labels
    assert images_beside(labels) == images
    assert images_beside(root) is None
    assert images_beside(_touch(root / "labelsTs", "b.png")) is None


@pytest.mark.parametrize(
    ("name", "text", "names", "ignored"),
    [
        ("classes.json", '{"background": 0, "a": 1}', {1: "a"}, frozenset()),
        (
            "dataset.json",
            '{"labels": {"background": 0, "a": 2, "ignore": 3}}',
            {2: "a"},
            frozenset({3}),
        ),
        ("dataset.json", '{"labels": {"0": "background", "1": "a"}}', {1: "a"}, frozenset()),
        ("dataset.json", '{"labels": {"background": "0", "a": "1"}}', {1: "a"}, frozenset()),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_classes_by_integer(
    tmp_path: Path, name: str, text: str, names: dict[int, str], ignored: frozenset[int], mark: str
) -> None:
    folder = _touch(tmp_path / "labelsTr", "a.png")
    (tmp_path / name).write_text(mark + text, encoding="utf-8")
    found = classes_beside(folder)
    assert (found.names, found.ignored) == (names, ignored)


def test_classes_by_colour(tmp_path: Path) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nlumen:255,0,16::\n\n"
    (tmp_path / "labelmap.txt").write_text("\ufeff" + text, encoding="utf-8")
    assert classes_beside(tmp_path).colors == {"#000000": "", "#ff0010": "lumen"}
    (tmp_path / "labelmap.txt").write_text("lumen:red::\n")
    with pytest.raises(FileFormatError, match="lumen:red"):
        classes_beside(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.json", '{"a": "1"}'),
        ("classes.json", "[]"),
        ("dataset.json", '{"labels": {"whole": [1, "2"]}}'),
        ("dataset.json", "{}"),
        ("dataset.json", "\xff{"),
    ],
)
def test_files_of_names_that_are_none(tmp_path: Path, name: str, text: str) -> None:
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(FileFormatError, match=name):
        classes_beside(tmp_path)


def test_unions_of_classes_name_the_classes(tmp_path: Path) -> None:
    text = '{"labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}}'
    (tmp_path / "dataset.json").write_text(text)
    found = classes_beside(tmp_path)
    assert found.names == {1: "rest of whole", 2: "core"}
    assert found.ignored == {3}
