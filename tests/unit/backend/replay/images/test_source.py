from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.replay.images.library import truth_of
from backend.replay.images.source import library_of_folder
from domain.errors import FileFormatError, NotEnoughCasesError, SettingsError


def write(folder: Path, name: str, value: int | None = 1, *, side: int = 24) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(len(name)).integers(0, 255, (20, 24), dtype=np.uint8)
    assert cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
    if value is not None:
        mask = np.zeros((20, side), np.uint8)
        mask[4:9, 4:9] = value
        assert cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


def test_a_folder_with_all_that_can_be_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "P1_a")
    write(data, "P1_b", 2)
    write(data, "P2_a", 0)
    write(data, "no_mask", None)
    write(data, "narrow", side=20)
    (data / "images" / "broken.png").write_bytes(b"<html>")
    mask = np.zeros((20, 24), np.uint8)
    assert cv2.imwrite(str(data / "masks" / "broken.png"), mask)
    assert cv2.imwrite(str(data / "masks" / "no_image.png"), mask)
    done: list[int] = []
    found = library_of_folder(
        data,
        tmp_path / "out",
        classes=("disc", "square"),
        group_key=r"name:^(P\d)_",
        on_image=lambda: done.append(1),
    )
    assert [(case.case_id, case.group) for case in found.cases] == [
        ("P1_a", "P1"),
        ("P1_b", "P1"),
        ("P2_a", "P2"),
    ]
    assert found.class_values == ("disc", "square")
    assert found.cases[2].shares == (0, 0)
    told = " ".join(found.left_out)
    for name in ("no_mask", "narrow", "broken", "no_image"):
        assert name in told
    assert len(found.left_out) == 4
    assert len(done) == 5


def test_classes_are_counted_where_nobody_names_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "a", 1)
    write(data, "b", 3)
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("class_1", "class_2", "class_3")
    (data / "masks" / "classes.json").write_text('{"background": 0, "lumen": 1, "wall": 3}')
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("lumen", "class_2", "wall")


def test_white_is_the_first_class(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "a", 255)
    write(data, "b", 0)
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("class_1",)
    assert truth_of(tmp_path / "out", "a").max() == 1


def test_what_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="images"):
        library_of_folder(tmp_path / "nowhere", tmp_path / "out")
    write(tmp_path / "data", "a")
    (tmp_path / "data" / "images" / "a.png").write_bytes(b"")
    with pytest.raises(NotEnoughCasesError, match="can be used"):
        library_of_folder(tmp_path / "data", tmp_path / "out")


@pytest.mark.parametrize("key", ["patient", "name:(", "name:^P"])
def test_group_keys_that_are_none(tmp_path: Path, key: str) -> None:
    write(tmp_path / "data", "a")
    with pytest.raises(SettingsError, match="--group-key"):
        library_of_folder(tmp_path / "data", tmp_path / "out", group_key=key)
