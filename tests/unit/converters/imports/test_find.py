"""Image files are found by the name a source has for them, whatever became of it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from converters.imports.find import ImageFinder
from converters.imports.source import ImportedImage

NFD = unicodedata.normalize("NFD", "größe 1.png")


def _image(name: str, *stems: str, mask: Path | None = None) -> ImportedImage:
    return ImportedImage(1, name, "", name, None, stems=stems, mask=mask)


def _files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("a.png", ["a.png"], "a.png"),
        ("p1/a.png", ["p1/a.png", "a.png"], "p1/a.png"),
        ("C:\\scans\\p1\\a.png", ["p1/a.png"], "p1/a.png"),
        ("../../a.png", ["a.png"], "a.png"),
        ("größe 1.png", [NFD], NFD),  # macOS writes names in NFD
        (NFD, ["größe 1.png"], "größe 1.png"),
        ("my scan (left) 1.png", ["my_scan_left_1.png"], "my_scan_left_1.png"),
        ("my_scan_left_1.png", ["my scan (left) 1.png"], "my scan (left) 1.png"),
        ("0a1b2c3d-scan.png", ["scan.png"], "scan.png"),  # as Label Studio exports it
        ("0a1b2c3d-my_scan.png", ["x/my scan.png", "my scan.png"], "my scan.png"),
        ("a#1?%20.png", ["a#1?%20.png"], "a#1?%20.png"),
        ("a b.png", ["a_b.png", "a(_)b.png"], None),  # either may be meant
        ("a%20b.png", ["a b.png"], "a b.png"),
        ("a%20b.png", ["a%20b.png", "a b.png"], "a%20b.png"),
        ("https://host/x/a%20b.png?v=1", ["a b.png"], "a b.png"),
        ("/data/local-files/?d=x%2Fa.png", ["x/a.png"], "x/a.png"),
        ("a.png", ["a.jpg"], None),
        ("a.png", ["A.PNG"], "A.PNG"),
        ("a.png", ["A.PNG", "A.png"], None),  # either may be meant
        ("", ["a.png"], None),
        ("..", ["a.png"], None),
        ("a\0.png", ["b.png"], None),
    ],
)
def test_names(tmp_path: Path, name: str, files: list[str], found: str | None) -> None:
    finder = ImageFinder(_files(tmp_path, *files))
    path = finder.find(_image(name))
    assert path == (None if found is None else tmp_path / found)
    assert finder.name_of(_image(name), path) == (found or finder.name_of(_image(name), None))


@pytest.mark.parametrize(
    ("stems", "files", "found"),
    [
        (("a",), ["a.jpg"], "a.jpg"),
        (("a",), ["a.TIF"], "a.TIF"),
        (("a",), ["a_0000.png"], "a_0000.png"),
        (("a_mask", "a"), ["a.png"], "a.png"),
        (("a_mask", "a"), ["a_mask.png", "a.png"], "a_mask.png"),
        ((NFD.removesuffix(".png"),), ["größe 1.jpg"], "größe 1.jpg"),
        (("a",), ["b.png"], None),
    ],
)
def test_names_without_ending(
    tmp_path: Path, stems: tuple[str, ...], files: list[str], found: str | None
) -> None:
    finder = ImageFinder(_files(tmp_path, *files))
    path = finder.find(_image("never.seen", *stems))
    assert path == (None if found is None else tmp_path / found)


def test_a_mask_is_not_its_own_image(tmp_path: Path) -> None:
    _files(tmp_path, "a.png", "a.jpg")
    finder = ImageFinder(tmp_path)
    assert finder.find(_image("a.png", "a", mask=tmp_path / "a.png")) == tmp_path / "a.jpg"
    (tmp_path / "a.jpg").unlink()
    finder = ImageFinder(tmp_path)
    assert finder.find(_image("a.png", "a", mask=tmp_path / "a.png")) is None


def test_a_prefix_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    _files(tmp_path, "train_1.jpg")
    assert ImageFinder(tmp_path, "train_").find(_image("1.jpg")) == tmp_path / "train_1.jpg"
    assert ImageFinder(tmp_path / "nowhere").find(_image("1.jpg")) is None
    assert ImageFinder(None).find(_image("1.jpg")) is None


@pytest.mark.parametrize(
    "address",
    ["https://host/x/a%20b.png?v=1", "s3://bucket/p/a#1.png", "/data/local-files/?d=p/a.png"],
)
def test_an_address_stays_what_it_is(address: str) -> None:
    image = _image(address)
    assert ImageFinder(None).name_of(image, None) == address


def test_several_files_that_may_be_the_image_are_rivals(tmp_path: Path) -> None:
    folder = _files(tmp_path, "a.jpg", "a.TIF", "b.png", "b.jpg", "c.bmp", "sub/a.bmp")
    finder = ImageFinder(folder)

    def rivals(name: str, *stems: str, mask: Path | None = None) -> list[str]:
        image = _image(name, *stems, mask=mask)
        path = finder.find(image)
        return [] if path is None else finder.rivals(image, path)

    assert rivals("a.png", "a") == ["a.TIF"]
    assert rivals("b.png", "b") == []  # it is called so
    assert rivals("b.nii.gz", "b") == ["b.jpg"]
    assert rivals("b.gif", "b", mask=folder / "b.jpg") == []
    assert rivals("c.png", "c") == []
    assert rivals("a.jpg") == []
