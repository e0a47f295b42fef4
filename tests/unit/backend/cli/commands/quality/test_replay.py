from __future__ import annotations

import inspect
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from active_learning.effort import Effort
from backend.cli.commands.quality.replay import replay
from backend.cli.main import app
from backend.replay.images.source import library_of_folder
from backend.replay.options import ReplayOptions
from backend.replay.replay import Replay
from backend.replay.report import FIGURES, TEXT
from backend.replay.results import Full
from backend.replay.rounds import Course, Round
from converters.bookkeeping.documents import write_document
from domain.errors import FileFormatError, NotConnectedError, NotEnoughCasesError, SettingsError
from training.presets import PRESETS


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


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


@pytest.mark.parametrize(("shown", "purpose"), [("pool", "measure on"), ("test", "learn from")])
def test_without_any_class_on_one_side_it_ends_before_it_begins(
    shown: str, purpose: str, tmp_path: Path
) -> None:
    write_images(tmp_path / "data", 10)
    pool, test = library_of_folder(tmp_path / "data", tmp_path / "first").divided(0.3)
    for case in test if shown == "pool" else pool:
        mask = tmp_path / "data" / "masks" / f"{case.case_id}.png"
        assert cv2.imwrite(str(mask), np.zeros((32, 32), np.uint8))
    with pytest.raises(NotEnoughCasesError, match=f"No class is in any of . images to {purpose}"):
        run("--data", tmp_path / "data", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "committees").exists()


def test_what_is_played_ends_with_the_conclusion_of_the_report(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_images(data, 10)
    played = Replay(out, library_of_folder(data, out), ReplayOptions(
        strategies=("lowest_score",), seeds=4, start=2, batch=2, rounds=2
    ))  # fmt: skip
    table = played.table
    for seed in range(4):
        for name in played.options.strategies:
            gain = 0.1 * (name == "lowest_score") + 0.001 * seed * len(name)
            rounds = tuple(
                Round(n, 2 * n, (), name, Effort(), 9.0, 9.0, dice, {"class_1": dice})
                for n, dice in ((1, 0.4), (2, 0.5 + gain))
            )
            write_document(table.course_file(out, name, seed), Course, Course(name, seed, rounds))
        write_document(table.full_file(out, seed), Full, Full(7, 0.7))
    options = ("--data", data, "--out", out, "--start", 2, "--batch", 2, "--rounds", 2)
    lines = run(*options).strip().splitlines()
    assert lines[-1] == "Next: nnloop connect PROJECT --query-strategy lowest_score."
    assert any(line.startswith("lowest_score gains over random") for line in lines)
    concluded = json.loads(run(*options, "--json"))["conclusion"]
    assert lines[-len(concluded) :] == concluded
    assert (out / TEXT).read_text().splitlines()[0] == " ".join(concluded)
    assert json.loads((out / FIGURES).read_text())["conclusion"] == concluded


def write_images(data: Path, n: int) -> None:
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
        for number in range(n):
            pixels = (
                np.full((32, 32), number, np.uint8)
                if part == "images"
                else np.ones((32, 32), np.uint8)
            )
            assert cv2.imwrite(str(data / part / f"image{number}.png"), pixels)


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
