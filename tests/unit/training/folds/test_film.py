"""What a fold keeps of its learning, while the world changes under it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.bookkeeping.documents import write_document
from converters.pictures.small import small_image, small_label_map
from domain.errors import TrainingError
from domain.geometry import LabelMap
from training.case_files import write_case
from training.folds.film import (
    FOLDER,
    LONGEST_PX,
    MOST_FRAMES,
    RECORD,
    Film,
    FilmKeeper,
    forget_films,
    read_film,
    read_pictures,
    telling_case,
)
from training.folds.sample import SAMPLE_SIZE, sample_of
from training.workspace import Workspace

CLASSES = ("lumen", "wall")
DICE = {"lumen": 0.5, "wall": None}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Cases a (nothing), b (one class), c (two, one of them small), d (two, both large)."""
    found = Workspace(tmp_path, 1)
    maps = {name: np.zeros((40, 60), np.uint8) for name in "abcd"}
    maps["b"][:30] = 1
    maps["c"][:20], maps["c"][20, :3] = 1, 2
    maps["d"][:10], maps["d"][10:20] = 1, 2
    for name, label_map in maps.items():
        add_case(found, name, label_map)
    return found


def add_case(workspace: Workspace, case_id: str, label_map: LabelMap) -> None:
    image = np.full(label_map.shape, 90, np.uint8)
    write_case(workspace, case_id, image, label_map, n_channels=1)


def fold_dir(workspace: Workspace) -> Path:
    return workspace.fold_dir(1, 0)


def keeper(workspace: Workspace, said: list[str] | None = None) -> FilmKeeper:
    told: list[str] = [] if said is None else said
    return FilmKeeper(fold_dir(workspace), CLASSES, told.append)


def epochs_of(workspace: Workspace) -> list[int]:
    film = read_film(fold_dir(workspace))
    assert film is not None
    pictures = {path.stem for path in (fold_dir(workspace) / FOLDER).glob("0*.png")}
    epochs = [frame.epoch for frame in film.frames]
    assert pictures == {f"{epoch:06d}" for epoch in epochs}
    return epochs


def test_the_case_with_most_classes_is_shown(workspace: Workspace) -> None:
    for sample, told in (("abcd", "d"), ("abc", "c"), ("ab", "b"), ("a", "a")):
        assert telling_case(workspace, sample, 2) == told
    # Where there is but one class, the second integer is none.
    assert telling_case(workspace, "abcd", 1) == "b"
    assert len(sample_of(str(k) for k in range(100))) == SAMPLE_SIZE
    assert set(sample_of("abcd")) == set("abcd")


@pytest.mark.parametrize("n", [5, MOST_FRAMES, 1000])
def test_frames_are_bounded_and_even_however_long_it_trains(workspace: Workspace, n: int) -> None:
    film = keeper(workspace)
    film.begin(workspace, "abcd", epoch=0)
    label_map = np.zeros((40, 60), np.uint8)
    for epoch in range(n):
        film.keep(epoch, label_map, DICE)
    film.keep(n, label_map, DICE, is_last=True)
    epochs = epochs_of(workspace)
    assert epochs[0] == 0 and epochs[-1] == n
    assert min(n + 1, MOST_FRAMES // 2) <= len(epochs) <= MOST_FRAMES + 1
    gaps = np.diff(epochs[:-1])
    assert len(set(gaps.tolist())) == 1  # only the last one stands where it must
    size = sum(path.stat().st_size for path in (fold_dir(workspace) / FOLDER).iterdir())
    assert size < 200_000


def test_a_training_that_goes_on_keeps_its_case_and_forgets_what_was_not_saved(
    workspace: Workspace,
) -> None:
    first = keeper(workspace)
    first.begin(workspace, "abc", epoch=0)
    for epoch in range(4):
        first.keep(epoch, np.zeros((40, 60), np.uint8), DICE)
    assert first.case_id == "c"
    # Killed after epoch 3, whose checkpoint was not written; d came into no split meanwhile.
    second = keeper(workspace)
    second.begin(workspace, "abcd", epoch=2)
    assert second.case_id == "c"
    assert epochs_of(workspace) == [0, 1, 2]
    second.keep(2, np.zeros((40, 60), np.uint8), DICE)
    second.keep(3, np.zeros((40, 60), np.uint8), {"lumen": 0.9, "wall": None})
    assert epochs_of(workspace) == [0, 1, 2, 3]
    film = read_film(fold_dir(workspace))
    assert film is not None and film.frames[-1].dice["lumen"] == 0.9
    # The last one stands in the place of the one of the same epoch.
    second.keep(3, np.zeros((40, 60), np.uint8), DICE, is_last=True)
    assert epochs_of(workspace) == [0, 1, 2, 3]


@pytest.mark.parametrize("change", ["case", "classes", "record", "release"])
def test_another_case_or_other_classes_begin_anew(workspace: Workspace, change: str) -> None:
    first = keeper(workspace)
    first.begin(workspace, "d", epoch=0)
    first.keep(1, np.zeros((40, 60), np.uint8), DICE)
    record = fold_dir(workspace) / FOLDER / RECORD
    classes, sample = CLASSES, "abcd"
    if change == "case":
        sample = "abc"
    elif change == "classes":
        classes = ("lumen", "plaque")
    elif change == "record":
        record.write_text("{half a")
    else:
        record.write_text(record.read_text().replace('"form": 1', '"form": 2'))
        with pytest.raises(TrainingError, match="can't be read"):
            read_film(fold_dir(workspace))
    second = FilmKeeper(fold_dir(workspace), classes)
    second.begin(workspace, sample, epoch=5)
    assert second.case_id == ("c" if change == "case" else "d")
    assert epochs_of(workspace) == []


def test_what_goes_wrong_costs_pictures_alone(workspace: Workspace) -> None:
    said: list[str] = []
    film = keeper(workspace, said)
    film.begin(workspace, "abcd", epoch=0)
    shutil.rmtree(fold_dir(workspace))
    for epoch in range(3):
        film.keep(epoch, np.zeros((40, 60), np.uint8), DICE)
    assert len(said) == 1 and said[0].startswith("No more pictures of the training are kept: ")
    assert film.case_id is None

    fold_dir(workspace).parent.mkdir(exist_ok=True)
    fold_dir(workspace).write_text("a file where the folder should be")
    film = keeper(workspace, said)
    film.begin(workspace, "abcd", epoch=0)
    assert len(said) == 2 and film.case_id is None

    fold_dir(workspace).unlink()
    workspace.label_png("b").unlink()
    film = keeper(workspace, said)
    film.begin(workspace, "ab", epoch=0)
    assert "b.png is missing" in said[2]
    film.keep(1, np.zeros((40, 60), np.uint8), DICE)
    film = keeper(workspace, said)
    film.begin(workspace, (), epoch=0)
    assert len(said) == 3 and read_film(fold_dir(workspace)) is None


def test_a_reader_beside_it_leaves_out_what_is_gone_or_broken(workspace: Workspace) -> None:
    assert read_pictures(fold_dir(workspace)) is None
    film = keeper(workspace)
    film.begin(workspace, "d", epoch=0)
    for epoch in range(4):
        film.keep(epoch, np.full((40, 60), epoch, np.uint8), DICE)
    folder = fold_dir(workspace) / FOLDER
    (folder / "000001.png").unlink()
    (folder / "000002.png").write_bytes(b"half")
    found = read_pictures(fold_dir(workspace))
    assert found is not None
    assert [frame.epoch for frame in found.film.frames] == [0, 3]
    assert [int(label_map.max()) for label_map in found.predictions] == [0, 3]
    assert found.image.shape == (40, 60, 3) and set(np.unique(found.truth)) == {0, 1, 2}
    (folder / "image.png").unlink()
    assert read_pictures(fold_dir(workspace)) is None


def test_a_film_goes_with_its_case(workspace: Workspace) -> None:
    for run, case_id in ((1, "c"), (2, "d"), (3, "d")):
        film = FilmKeeper(workspace.fold_dir(run, 0), CLASSES)
        film.begin(workspace, case_id, epoch=0)
    (workspace.fold_dir(3, 0) / FOLDER / RECORD).write_text("[]")
    forget_films(workspace, ())
    assert read_film(workspace.fold_dir(2, 0)) is not None
    forget_films(workspace, ("d", "a"))
    there = [(workspace.fold_dir(run, 0) / FOLDER).exists() for run in (1, 2, 3)]
    assert there == [True, False, False]  # of the third nobody can tell what it shows


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (1, 40_000), (3000, 4000)])
def test_pictures_of_any_size_stay_small(workspace: Workspace, shape: tuple[int, int]) -> None:
    label_map = np.ones(shape, np.uint8)
    add_case(workspace, "odd", label_map)
    film = keeper(workspace)
    film.begin(workspace, ["odd"], epoch=0)
    film.keep(0, label_map, DICE)
    found = read_pictures(fold_dir(workspace))
    assert found is not None
    [predicted] = found.predictions
    assert max(predicted.shape) == min(max(shape), LONGEST_PX) and min(predicted.shape) >= 1
    assert found.image.shape[:2] == predicted.shape == found.truth.shape and predicted.all()


def test_forty_classes_and_thin_lines_survive_being_made_small() -> None:
    label_map = np.repeat(np.arange(1, 41, dtype=np.uint8), 40)[:, None].repeat(1600, axis=1)
    small = small_label_map(label_map, 320)
    assert small.shape == (320, 320)
    assert (small[::8, 0] == np.arange(1, 41)).all()
    line = np.zeros((3200, 3200), np.uint8)
    line[:, 1004:1008] = 7
    assert (small_label_map(line, 320) == 7).any(axis=1).all()
    assert small_label_map(label_map, 5000) is label_map
    deep = np.arange(400 * 600, dtype=np.uint16).reshape(400, 600)
    assert small_image(deep, 300).shape == (200, 300, 3)
    assert small_image(deep, 300).max() == 255


def test_the_record_comes_back_as_it_was(tmp_path: Path) -> None:
    film = Film(case_id="a", class_values=CLASSES)
    (tmp_path / FOLDER).mkdir()
    write_document(tmp_path / FOLDER / RECORD, Film, dataclasses.replace(film, gap=4))
    found = read_film(tmp_path)
    assert found is not None and found.gap == 4 and found.case_id == "a"
