from __future__ import annotations

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from backend.cli.commands.quality.replay import replay
from backend.cli.main import app
from backend.replay.options import ReplayOptions
from domain.errors import FileFormatError, NotConnectedError, NotEnoughCasesError, SettingsError
from training.presets import PRESETS


def run(*arguments: object) -> None:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "data" / part / "a.png"), np.ones((32, 32), np.uint8))
    return tmp_path / "data"


def test_nothing_or_two_things_to_replay(data: Path) -> None:
    with pytest.raises(SettingsError, match="Nothing says what"):
        run()
    with pytest.raises(SettingsError, match="Both"):
        run("--data", data, "--project", "Carotid")
    with pytest.raises(SettingsError, match="for folders"):
        run("--project", "Carotid", "--classes", "lumen")


def test_what_can_not_be_played_is_said_before_anything_is_written(data: Path) -> None:
    out = data.parent / "out"
    for wrong, named in (
        (("--strategies", "best"), "'best'"),
        (("--strategies", "bald,bald"), "twice"),
        (("--preset", "huge"), "huge"),
        (("--steps", "1"), "--steps"),
        (("--test-share", "1"), "--test-share"),
    ):
        with pytest.raises(SettingsError, match=named):
            run("--data", data, "--out", out, *wrong)
    assert not out.exists()
    with pytest.raises(SettingsError, match="among the files"):
        run("--data", data, "--out", data)


def test_folders_and_projects_that_are_not_there(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="nowhere"):
        run("--data", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotConnectedError):
        run("--project", "nobody", "--out", tmp_path / "out", "--data-dir", tmp_path / "store")
    assert not (tmp_path / "out").exists()
    (tmp_path / "own").mkdir()
    with pytest.raises(FileFormatError, match="nowhere"):
        run("--data", tmp_path / "nowhere", "--out", tmp_path / "own")
    assert (tmp_path / "own").exists()  # a person made it
    with pytest.raises(NotEnoughCasesError, match="2 groups"):
        run("--data", data, "--out", tmp_path / "out")


def test_defaults_are_those_of_a_replay() -> None:
    given = {name: p.default for name, p in inspect.signature(replay).parameters.items()}
    own = ReplayOptions()
    for name in (*own.rules(), "seeds"):
        assert given[name] == getattr(own, name), name


def test_the_help_says_what_is_taken() -> None:
    shown = CliRunner().invoke(app, ["replay", "--help"], env={"COLUMNS": "200"}).output
    assert r"'name:^(P\d+)_'" in shown
    assert f"Whose network: {', '.join(PRESETS)};" in shown
    for preset in PRESETS:
        assert ReplayOptions(preset=preset).training_preset.name == preset
