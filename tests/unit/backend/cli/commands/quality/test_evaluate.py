from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from domain.errors import FileFormatError, NotConnectedError, SettingsError


def _run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str | Path, ...]:
    for name, shift in (("predictions", 4), ("reference", 0)):
        (tmp_path / name).mkdir()
        for case, factor in (("near", 1), ("far", 2)):
            array = np.zeros((40, 50), np.uint8)
            array[10:20, 10 + shift * factor : 20 + shift * factor] = 1
            assert cv2.imwrite(str(tmp_path / name / f"{case}.png"), array)
    return (
        "evaluate",
        "--predictions",
        tmp_path / "predictions",
        "--reference",
        tmp_path / "reference",
        "--out",
        tmp_path / "out",
    )


def test_folders_in_a_table_and_as_files(folders: tuple[str, ...], tmp_path: Path) -> None:
    said = _run(*folders, "--classes", "lumen", "--spacing", "9,0.5")
    # (0.6 + 0.2) / 2
    assert "0.400" in said and "HD95 mm" in said
    # HD95 of far 4 mm, of near 2 mm; the worst first.
    assert said.index("far") < said.index("near")
    assert "…" not in said, "80 columns are enough"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "metrics.csv",
        "overlays",
        "summary.json",
    ]


def test_an_absent_class_is_a_dash_and_an_empty_cell(
    folders: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("predictions", "reference"):
        empty = np.zeros((40, 50), np.uint8)
        assert cv2.imwrite(str(tmp_path / name / "nothing.png"), empty)
    said = _run(*folders, "--classes", "lumen,debris")
    assert "…" not in said
    debris = next(line for line in said.splitlines() if "debris" in line)
    assert debris.split()[:4] == ["debris", "0", "-", "-"]
    assert "Mean Dice of the classes 0.400, of the images 0.600." in said
    assert "Images with nothing in them: 1, of which left empty: 1." in said
    cells = (tmp_path / "out" / "metrics.csv").read_text().splitlines()
    assert [line for line in cells if "nothing,debris,neither,,,,,px" in line]
    value = json.loads((tmp_path / "out" / "summary.json").read_text())
    lumen, debris_json = value["classes"]
    assert (lumen["dice"]["n"], debris_json["dice"]["n"]) == (2, 0)
    assert debris_json["dice"]["mean"] is None
    assert value["mean_dice"] == pytest.approx(0.4)


def test_values_without_a_class_are_said_once_with_the_remedy(
    folders: tuple[str, ...], tmp_path: Path
) -> None:
    for name, value in (("predictions", 7), ("reference", 9)):
        for case in ("near", "far") if name == "predictions" else ("far",):
            path = str(tmp_path / name / f"{case}.png")
            array = cv2.imread(path, cv2.IMREAD_UNCHANGED)
            assert array is not None
            array[30:35, 2:9] = value
            assert cv2.imwrite(path, array)
    said = " ".join(_run(*folders, "--classes", "lumen").split())
    assert (
        "Values without a class counted as background: 7 in 2 predictions, 9 in 1 reference. The "
        "classes are 1 = lumen; name others with --classes"
    ) in said
    assert "unknown_value" not in said
    report = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [p["message"] for p in report["problems"] if p["case_id"] == "near"] == [
        "The prediction of near holds the value 7, which is no class: background."
    ]
    assert len(report["remarks"]) == 1


def test_json_is_json_alone(folders: tuple[str, ...]) -> None:
    value = json.loads(_run(*folders, "--json", "--worst", "1"))
    assert value["classes"][0]["class_value"] == "class_1"
    assert [one["case_id"] for one in value["worst"]] == ["far"]
    assert value["classes"][0]["hausdorff95"]["mean"] == 6.0


def test_problems_are_said_and_nothing_measured_is_code_1(
    folders: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "predictions" / "far.png").unlink()
    assert "prediction_missing far.png has no prediction" in _run(*folders)
    (tmp_path / "predictions" / "near.png").rename(tmp_path / "predictions" / "x.png")
    said = _run(*folders, "--classes", "lumen", code=1)
    assert "reference_missing" in said


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((), SettingsError, "what to evaluate"),
        (("--predictions", "a"), SettingsError, "--reference missing"),
        (("--out", "c"), SettingsError, "what to evaluate"),
        (("Carotid", "--predictions", "a"), SettingsError, "for folders"),
        (
            ("--predictions", "a", "--reference", "b", "--out", "c", "--split", "new"),
            SettingsError,
            "belong to a project",
        ),
        (("--predictions", "a", "--reference", "b", "--out", "c"), FileFormatError, "no folder a"),
        (
            ("--predictions", "a", "--reference", "b", "--out", "c", "--classes", "x,x"),
            SettingsError,
            "twice",
        ),
        (("Carotid", "--spacing", "big"), SettingsError, "spacing"),
        (("Carotid",), NotConnectedError, "not connected"),
    ],
)
def test_wrong_calls_are_explained(
    arguments: tuple[str, ...],
    error: type[Exception],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        _run("evaluate", *arguments)


def test_an_unknown_split_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.pipeline.basis.connected.find_connected", lambda *_: 1)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(tmp_path))
    with pytest.raises(SettingsError) as error:
        _run("evaluate", "Carotid", "--split", "pool")
    assert error.value.remedy == "Choose one of oof, new, all."
