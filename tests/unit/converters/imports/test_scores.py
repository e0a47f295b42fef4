from __future__ import annotations

from pathlib import Path

import pytest

from converters.imports.scores import NOT_KNOWN, Score, read_scores, score_of_prediction
from converters.imports.source import ImportedImage
from domain.errors import FileFormatError


def _image(name: str, *stems: str) -> ImportedImage:
    return ImportedImage(1, name, "", name, None, stems=stems)


def _table(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "image,score\nscan 1.png,0.25\n",
        "\ufeffscore;name\r\n0.25;scan 1\r\n",  # a spreadsheet's
        "image,width,height,score,score_low\nfolder/scan 1.png,5,5,0.25,\n",
        "case,Score\nscan 1.nii.gz,0.25\n",
        "what,score\nscan 1.png,0.25\nscan 1.png,0.25\n",  # said twice
    ],
)
def test_a_score_is_found_by_the_images_name(tmp_path: Path, text: str) -> None:
    table = read_scores(_table(tmp_path, text))
    assert table.of(_image("scan 1.png"), None) == 0.25
    assert table.of(_image("masks/scan_1.png"), None) == 0.25
    assert table.of(_image("mask.png", "scan 1"), None) == 0.25
    assert table.of(_image("scan 2.png"), None) is None


def test_two_scores_of_one_name_are_none(tmp_path: Path) -> None:
    table = read_scores(_table(tmp_path, "image,score\na/1.png,0.2\nb/1.png,0.9\n2.png,0\n"))
    assert table.of(_image("1.png"), None) is None
    assert table.of(_image("2.png"), None) == 0.0


FOLDERS = "image,score\nP01/1.png,0.2\nP02/1.png,0.9\nP01/2.png,0.4\nP01/3.v1,0.1\nP01/3.v2,0.6\n"


@pytest.mark.parametrize(
    ("name", "repeated", "expected"),
    [
        ("P01/1.png", ("1.png",), 0.2),
        ("P02/1.png", ("1.png",), 0.9),
        ("scans/P02/1.png", ("1.png",), 0.9),
        ("P02\\1.png", ("1.png",), 0.9),
        ("P03/1.png", ("1.png",), None),
        ("1.png", (), None),
        # One row has the name, and it is of another folder: is it another image?
        ("P02/2.png", ("2.png",), None),
        ("P02/2.png", (), 0.4),
        ("2.png", (), 0.4),
        ("P01/3.v2.png", (), 0.6),
        ("P01/3.png", (), None),
    ],
)
def test_folders_tell_images_of_one_name_apart(
    name: str, repeated: tuple[str, ...], expected: float | None, tmp_path: Path
) -> None:
    table = read_scores(_table(tmp_path, FOLDERS))
    stem = name.removesuffix(".png")
    assert table.of(_image(name), None, repeated) == expected
    assert table.of(_image(name, stem.replace("\\", "/").rpartition("/")[2]), None, repeated) == (
        expected
    )


@pytest.mark.parametrize("score", ["1.2", "101 %", "85%", "-0.1", "nan", "inf", "good", "0,5"])
def test_a_score_that_is_none_is_refused_with_its_line(tmp_path: Path, score: str) -> None:
    with pytest.raises(FileFormatError, match=r"line 3: the score of 'b\.png'"):
        read_scores(_table(tmp_path, f"image;score\na.png;0.5\nb.png;{score}\n"))


@pytest.mark.parametrize("text", ["", "a.png,0.5\n", "score\n0.5\n", "image,dice\na.png,0.5\n"])
def test_a_file_without_the_columns_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileFormatError, match="columns"):
        read_scores(_table(tmp_path, text))


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ({"score": 0.7, "result": [{"score": 0.1}]}, Score(0.7, is_stated=True)),
        ({"score": None, "result": [{"score": 0.9}, {"score": 0.4}, {}]}, Score(0.4, True)),
        ({"score": 17.0, "result": []}, NOT_KNOWN),
        ({"score": True, "result": "x"}, NOT_KNOWN),
        ({}, NOT_KNOWN),
    ],
)
def test_of_a_prediction_its_own_or_its_least_certain_regions(
    prediction: dict[str, object], expected: Score
) -> None:
    assert score_of_prediction(prediction) == expected


def test_lines_may_end_as_on_old_macs(tmp_path: Path) -> None:
    table = read_scores(_table(tmp_path, "image,score\ra.png,0.5\rb.png,1\r"))
    assert [table.of(_image(name), None) for name in ("a.png", "b.png")] == [0.5, 1.0]


def test_a_field_longer_than_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no CSV file"):
        read_scores(_table(tmp_path, f"image,score\n{'a' * 200_000},1\n"))
