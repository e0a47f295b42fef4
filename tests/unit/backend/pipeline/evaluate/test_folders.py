from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from backend.pipeline.evaluate.folders import evaluate_folders
from backend.pipeline.evaluate.options import EvaluationOptions
from domain.errors import FileFormatError, SettingsError
from training.evaluation.result_files import COLUMNS


def label_map(shift: int = 0) -> npt.NDArray[Any]:
    array = np.zeros((40, 50), np.uint8)
    array[10:20, 10 + shift : 20 + shift] = 1
    return array


def write(path: Path, array: npt.NDArray[Any]) -> None:
    assert cv2.imwrite(str(path), array)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    predictions, reference = tmp_path / "predictions", tmp_path / "reference"
    for folder in (predictions, reference):
        folder.mkdir()
    return predictions, reference


def evaluated(folders: tuple[Path, Path], out: Path, **more: object) -> dict[str, object]:
    evaluate_folders(*folders, EvaluationOptions(out, workers=1, n_worst=2), **more)  # type: ignore[arg-type]
    value: dict[str, object] = json.loads((out / "summary.json").read_text())
    return value


def test_the_report(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, reference = folders
    for name, shift in (("good", 0), ("bad", 5), ("worse", 9)):
        write(predictions / f"{name}.png", label_map(shift))
        write(reference / f"{name}.png", label_map())
    write(predictions / "missed.png", np.zeros((40, 50), np.uint8))
    write(reference / "missed.png", label_map())
    out = tmp_path / "report"
    (out / "overlays").mkdir(parents=True)
    (out / "overlays" / "007_old.png").touch()
    (out / "overlays" / "mine.png").touch()
    summary = evaluated(folders, out, images=reference, class_values=("lumen",))
    assert [one["case_id"] for one in summary["worst"]] == ["missed", "worse"]  # type: ignore[attr-defined]
    assert sorted(p.name for p in (out / "overlays").iterdir()) == [
        "001_missed.png",
        "002_worse.png",
        "mine.png",
    ]
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["case_id"] for row in rows] == ["missed", "worse", "bad", "good"]
    assert (rows[0]["presence"], rows[0]["hausdorff95"]) == ("missed", "")
    assert (rows[2]["dice"], rows[2]["hausdorff95"], rows[2]["unit"]) == ("0.500000", "5", "px")


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("reference/classes.json", '{"background": 0, "lumen": 1}', "lumen"),
        ("dataset.json", '{"labels": {"background": 0, "wall": 1, "ignore": 2}}', "wall"),
        ("unrelated.json", "{}", "class_1"),
    ],
)
def test_names_of_classes_are_found(
    folders: tuple[Path, Path], tmp_path: Path, file: str, text: str, name: str
) -> None:
    for folder in folders:
        write(folder / "a.png", label_map())
    (tmp_path / file).write_text(text)
    classes = evaluated(folders, tmp_path / "out")["classes"]
    assert [one["class_value"] for one in classes] == [name]  # type: ignore[attr-defined]


def test_nnunets_data_set_is_a_reference(tmp_path: Path) -> None:
    root, predictions = tmp_path / "Dataset001_X", tmp_path / "predictions"
    for folder in (root / "labelsTr", root / "imagesTr", predictions):
        folder.mkdir(parents=True)
    write(root / "labelsTr" / "case_1.png", label_map())
    write(root / "imagesTr" / "case_1_0000.png", label_map() * 200)
    write(predictions / "case_1.png", label_map() * 255)
    (root / "dataset.json").write_text('{"labels": {"background": 0, "wall": 1}}')
    summary = evaluated((predictions, root), tmp_path / "out")
    assert summary["problems"] == []
    assert [one["class_value"] for one in summary["classes"]] == ["wall"]  # type: ignore[attr-defined]


def test_classes_that_can_not_be_known_are_asked_for(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for folder in folders:
        write(folder / "a.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(FileFormatError, match="holds a class"):
        evaluated(folders, tmp_path / "out")
    (tmp_path / "dataset.json").write_text('{"labels": {"whole": [1, 2]}}')
    with pytest.raises(FileFormatError, match="one integer per class"):
        evaluated(folders, tmp_path / "out")
    summary = evaluated(folders, tmp_path / "out", class_values=("lumen",))
    assert summary["classes"][0]["n_neither"] == 1  # type: ignore[index]


def test_a_picture_without_its_image_says_so(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("broken", "small"):
        for folder in folders:
            write(folder / f"{name}.png", label_map())
    (images / "broken.png").write_bytes(b"no")
    write(images / "small.png", label_map()[:9])
    summary = evaluated(folders, tmp_path / "out", images=images)
    assert {p["reason"] for p in summary["problems"]} == {  # type: ignore[attr-defined]
        "image_unreadable",
        "image_size_differs",
    }
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 2


def test_what_is_read_is_not_written_over(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        write(folder / "a.png", label_map())
        (folder / "summary.json").write_text("nnU-Net's")
        with pytest.raises(SettingsError, match="among the files"):
            evaluated(folders, folder)
        assert (folder / "summary.json").read_text() == "nnU-Net's"


def test_folders_without_a_common_name_say_so(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(folders[0] / "a.png", label_map())
    write(folders[1] / "b.png", label_map())
    with pytest.raises(FileFormatError, match=r"No case is in both .*: [ab]\.png has no "):
        evaluated(folders, tmp_path / "report")


def test_unions_are_measured_beside_the_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, reference = folders
    truth = label_map()
    truth[12:18, 12:18] = 2
    other = label_map()
    other[10:14, 10:20] = 2
    write(predictions / "a.png", other)
    write(reference / "a.png", truth)
    names = ("wall", "lumen")
    summary: dict[str, Any] = evaluated(
        folders, tmp_path / "report", class_values=names, unions=["vessel=lumen+wall"]
    )
    [union] = summary["unions"]
    assert (union["class_value"], union["dice"]["mean"]) == ("vessel", 1.0)
    plain = evaluated(folders, tmp_path / "plain", class_values=names)
    # They enter no other figure.
    assert (summary["mean_dice"], summary["dice_of_images"]) == (
        plain["mean_dice"],
        plain["dice_of_images"],
    )
    assert "unions" not in plain
    rows = list(csv.DictReader((tmp_path / "report" / "metrics.csv").open()))
    assert [row["class"] for row in rows] == ["wall", "lumen", "vessel"]
    with pytest.raises(SettingsError, match="can't be read"):
        evaluated(folders, tmp_path / "no", class_values=names, unions=["vessel=lumen+plaque"])


@pytest.mark.parametrize("where", ["reference", "predictions"])
def test_unions_that_a_data_set_says_are_measured_and_told(
    where: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, reference = folders
    write(predictions / "a.png", label_map())
    write(reference / "a.png", label_map())
    about: dict[str, Any] = {
        "labels": {"background": 0, "vessel": [1, 2], "lumen": 2},
        "regions_class_order": [1, 2],
    }
    place = reference if where == "reference" else predictions
    (place / "dataset.json").write_text(json.dumps(about))
    if where == "predictions":  # the references say what the classes are, and nothing of unions
        (reference / "classes.json").write_text(
            '{"background": 0, "rest of vessel": 1, "lumen": 2}'
        )
    summary: dict[str, Any] = evaluated(folders, tmp_path / "report")
    [union] = summary["unions"]
    assert (union["class_value"], union["dice"]["mean"]) == ("vessel", 1.0)
    [said] = [remark for remark in summary["remarks"] if "nions" in remark]
    assert said == (
        f"Unions of classes are measured besides, as {place} says: vessel=lumen+rest of vessel."
    )
    assert "unions" not in evaluated(folders, tmp_path / "none", unions=[""])
    (place / "dataset.json").write_text(json.dumps(about | {"regions_class_order": [2, 1]}))
    wrong: dict[str, Any] = evaluated(folders, tmp_path / "no", class_values=("rest", "lumen"))
    assert "unions" not in wrong
    assert any(
        remark.startswith("No union of classes is measured. ") for remark in wrong["remarks"]
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.json", {"background": 0, "lumen": 1, "(ignored)": 2}),
        ("dataset.json", {"labels": {"background": 0, "lumen": 1, "ignore": 2}}),
    ],
)
@pytest.mark.parametrize("beside_both", [True, False])
def test_pixels_that_the_references_ignore_count_nowhere(
    folders: tuple[Path, Path],
    tmp_path: Path,
    name: str,
    content: dict[str, Any],
    beside_both: bool,
) -> None:
    predictions, reference = folders
    for folder in folders if beside_both else [reference]:
        (folder / name).write_text(json.dumps(content))
    truth, loud = label_map(), label_map()
    truth[:, 30:] = 2
    loud[0:5, 35:45] = 1
    write(predictions / "a.png", loud)
    write(reference / "a.png", truth)
    write(tmp_path / "a.png", np.full((40, 50), 200, np.uint8))
    summary = evaluated(folders, tmp_path / "out", images=tmp_path)
    assert summary["classes"][0]["dice"]["mean"] == 1.0  # type: ignore[index]
    assert summary["problems"] == []
    # On the picture they are darkened: nobody shall take them for background.
    picture = cv2.imread(str(tmp_path / "out" / "overlays" / "001_a.png"))
    assert picture is not None
    half = picture[:, : picture.shape[1] // 3]
    assert {100, 200} <= set(np.unique(half[half.min(axis=2) == half.max(axis=2)]).tolist())


def test_what_no_figure_has_is_counted_above_them(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Nine of ten hard images that were not predicted must not look like a good model."""
    for name in ("a", "b"):
        for folder in folders:
            write(folder / f"{name}.png", label_map())
    write(folders[1] / "hard.png", label_map())
    write(folders[0] / "extra.png", label_map())
    (folders[1] / "b.png").write_bytes(b"none")
    said = evaluated(folders, tmp_path / "out", class_values=("lumen",))
    assert said["remarks"] == [
        "3 of 4 cases count in none of these figures: 1 that can't be read, 1 without a "
        "prediction, 1 without a reference."
    ]


def test_a_folder_is_not_measured_against_itself(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "a.png", label_map())
    with pytest.raises(SettingsError, match="same files"):
        evaluated((folders[0], folders[0] / "." / ".." / folders[0].name), folders[1])


def test_exchanged_integers_are_told_and_nothing_is_taken_so(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, reference = folders
    both = label_map()
    both[25:35, 5:15] = 2
    write(predictions / "a.png", both)
    write(reference / "a.png", np.array([0, 2, 1], np.uint8)[both])
    (predictions / "classes.json").write_text('{"background": 0, "wall": 1, "lumen": 2}')
    report: dict[str, Any] = evaluated(folders, tmp_path / "report")
    said = " ".join(report["remarks"])
    assert "with 1 = lumen, 2 = wall there" in said and "--values 0,2,1" in said
    assert "would be 1.00, not 0.00" in said
    assert report["mean_dice"] == 0.0
    # Where a person says so with --classes, it is held against what lies beside the masks.
    with pytest.raises(FileFormatError, match="--classes says 2 = wall, and what lies beside"):
        evaluated(folders, tmp_path / "no", class_values=("lumen", "wall"))
    renamed: dict[str, Any] = evaluated(
        folders, tmp_path / "renamed", class_values=("media", "lumen")
    )
    assert "in " + str(predictions) + " they are 1 = wall" in " ".join(renamed["remarks"])
