"""Where a model may be written: never among the images and labels, nor around them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from backend.cli.views.training_view import say_outcome, say_unnamed
from backend.from_files.labels.sources import UNNAMED
from backend.from_files.outcome import Outcome
from converters.bookkeeping.alone import alone_in
from domain.errors import NnloopError, SettingsError
from tests.unit.backend.from_files.material import region, task, write_export

FILES = ("labels.json", "set/images/a.png", "set/masks/a.png", "set/notes/a.json", "other/b.json")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ("labels.json", "--images", "set/images", "--out", "set/images"),
        ("labels.json", "--images", "set/images", "--out", "set/images/model"),
        ("labels.json", "--images", "set/images", "--out", "link/images/a/b"),
        ("labels.json", "--images", "link/images", "--out", "set/images"),
        ("labels.json", "--images", "set/images", "--out", "set"),
        ("labels.json", "--images", "set/images", "--out", "."),
        ("labels.json", "--images", "set/images", "--out", f"..{os.sep}{{cwd}}"),
        ("labels.json", "--out", "."),  # its images lie beside it
        ("set", "--out", "set"),
        ("set", "--out", "set/masks/model"),
        ("set", "--out", "set/images"),
        ("set", "--out", "."),
        ("other", "--out", "other/model"),
    ],
    ids=" ".join,
)
def test_a_model_among_images_or_labels_is_refused(words: tuple[str, ...], lab: Path) -> None:
    before = files(lab)
    with pytest.raises(SettingsError, match=r"among the files of|lie in") as told:
        arguments = ["train", *(word.format(cwd=lab.name) for word in words)]
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.value.remedy == "Give --out another folder."
    assert files(lab) == before


@pytest.mark.parametrize(
    "words",
    [
        ("labels.json", "--images", "set/images", "--out", "model"),
        ("labels.json", "--images", "set/images", "--out", "set/model"),
        ("labels.json", "--out", "model"),
        ("other", "--images", "set/images", "--out", "set/images_model"),
    ],
    ids=" ".join,
)
def test_a_model_beside_them_is_not(words: tuple[str, ...], lab: Path) -> None:
    with pytest.raises(NnloopError) as told:  # nothing is labelled in these files
        CliRunner().invoke(app, ["train", *words], catch_exceptions=False)
    assert "among the files" not in str(told.value) and " lie in " not in str(told.value)


@pytest.mark.parametrize(
    ("words", "work"),
    [
        (("train", "labels.json", "--images", "set/images"), "training"),
        (("predict", "set/images", "--model", "model"), "prediction"),
    ],
)
def test_a_second_one_at_the_same_folder_says_so_and_touches_nothing(
    words: tuple[str, ...], work: str, lab: Path
) -> None:
    with alone_in(lab / "out", work):
        before = files(lab)
        with pytest.raises(SettingsError, match=f"Another {work} is at work in out"):
            CliRunner().invoke(app, [*words, "--out", "out"], catch_exceptions=False)
        assert files(lab) == before


def test_a_typing_error_leaves_nothing(lab: Path) -> None:
    before = files(lab)
    for words in (("labels.jsn", "--out", "model"), ("labels.json", "--out", "model")):
        with pytest.raises(NnloopError):  # nothing is labelled in the second one
            CliRunner().invoke(app, ["train", *words], catch_exceptions=False)
        assert files(lab) == before and not (lab / "model").exists()


def test_a_wrong_folder_of_images_is_told_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_export(tmp_path, [task(1, [region("lumen")]), task(2, [region("wall")])])
    (tmp_path / "scans").mkdir()
    words = ["train", "export.json", "--images", "scans", "--out", "model"]
    with pytest.raises(NnloopError, match="None of the 2 labelled images is in scans: is --images"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert [path.name for path in (tmp_path / "model").glob("[!.]*")] == ["left_out.csv"]
    assert (tmp_path / "model" / "left_out.csv").read_text().count("image_missing") == 2


def test_what_is_said_of_classes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = Outcome("nnloop-v1", {"wall": 0.32, "lumen": 0.9, "clot": None}, classes=("wall",))
    say_outcome(outcome, tmp_path, ())
    said = " ".join(capsys.readouterr().out.split())
    assert "Found badly: wall (0.32). Its labels may be too few, or doubtful" in said
    assert "Classes: 1 = wall." in said
    say_unnamed(("class_1", "class_2"), UNNAMED, tmp_path)
    assert "--classes lumen,wall" in capsys.readouterr().out
    say_unnamed(("class_of_its_own",), UNNAMED, tmp_path)
    assert capsys.readouterr().out == ""
