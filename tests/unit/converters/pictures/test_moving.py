"""Films as files: read back by who shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from converters.pictures.moving import check_ending, write_moving
from domain.errors import FileFormatError

SECONDS = (0.8, 0.1, 0.1, 2.5)
ORANGE = (255, 159, 28)


def pictures(n: int = 4, size_hw: tuple[int, int] = (120, 160)) -> list[npt.NDArray[Any]]:
    """Noise that stands still, and a square of one colour that moves over it."""
    noise = np.random.default_rng(0).integers(0, 200, size_hw, dtype=np.uint8)
    found = []
    for k in range(n):
        picture = np.repeat(noise[:, :, None], 3, axis=2)
        picture[10:40, 10 + 5 * k : 40 + 5 * k] = ORANGE
        found.append(picture)
    return found


def test_a_gif_has_every_picture_its_time_and_the_colours_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "film.gif"
    write_moving(path, pictures(), SECONDS, [ORANGE])
    with Image.open(path) as film:
        assert isinstance(film, GifImageFile)
        assert film.n_frames == 4 and film.info["loop"] == 0
        for k, seconds in enumerate(SECONDS):
            film.seek(k)
            assert film.info["duration"] == round(seconds * 1000)
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert (shown[12:38, 12 + 5 * k : 38 + 5 * k] == ORANGE).all()
            assert np.abs(shown - pictures()[k]).max() < 12
    assert [one.name for one in path.parent.iterdir()] == ["film.gif"]
    # What stands still is there once.
    write_moving(tmp_path / "long.gif", pictures(20), [0.1] * 20)
    assert (tmp_path / "long.gif").stat().st_size < 2 * path.stat().st_size


def test_an_mp4_decodes_again_as_long_as_it_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "film.MP4"
    write_moving(path, pictures(), SECONDS)
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        is_there, frame = capture.read()
        if not is_there:
            break
        frames.append(frame)
    seconds = len(frames) / capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    assert seconds == pytest.approx(sum(SECONDS), abs=0.1)
    assert frames[-1].shape == (120, 160, 3)
    middle = frames[-1][25, 40].astype(int)[::-1]
    assert np.abs(middle - ORANGE).max() < 40


def test_one_picture_is_a_film_too(tmp_path: Path) -> None:
    for name in ("one.gif", "one.mp4"):
        write_moving(tmp_path / name, pictures(1), [2.5])
        assert (tmp_path / name).stat().st_size > 1000


def test_other_endings_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("film.avi", "film", ".gif"):
        with pytest.raises(FileFormatError, match=r"neither \.gif nor \.mp4"):
            check_ending(tmp_path / name)
    with pytest.raises(FileFormatError):
        write_moving(tmp_path / "film.webm", pictures(), SECONDS)
    assert not list(tmp_path.iterdir())
