"""Where a model may be written: never among the images and labels, nor around them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from converters.bookkeeping.alone import alone_in
from domain.errors import NnloopError, SettingsError

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
