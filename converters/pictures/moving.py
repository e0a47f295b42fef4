"""Pictures one after the other as a file that moves: GIF by Pillow, MP4 by OpenCV."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from converters.bookkeeping.files import replace_with, write_bytes
from converters.classes.colors import Rgb
from converters.pictures.panels import RgbImage
from domain.errors import FileFormatError

ENDINGS = (".gif", ".mp4")

_FPS = 10
_CODEC = "mp4v"
"""MPEG-4 Part 2: a second for a film. H.264 no wheel of OpenCV can write; VP9 takes a minute."""

_COLORS = 255
_MOST_EXACT = 16
_SAMPLED = 5
"""Pictures that the palette of a GIF is made from."""


def check_ending(path: Path) -> None:
    """Does nothing where ``write_moving`` can write such a file.

    Raises:
        FileFormatError: It can't.
    """
    if path.suffix.lower() not in ENDINGS:
        raise FileFormatError(
            f"{path} is neither .gif nor .mp4.", remedy="Let the name end with one of them."
        )


def write_moving(
    path: Path,
    pictures: Sequence[RgbImage],
    seconds: Sequence[float],
    colors: Sequence[Rgb] = (),
) -> None:
    """Writes a GIF or an MP4, by the name's ending, whole or not at all.

    Args:
        path: Its folder is made if missing.
        pictures: One at least, (height, width, 3) uint8 RGB, all of one size with even sides.
        seconds: How long each of them stands.
        colors: That a GIF, which has 256 in all, is to keep as they are; the first 16 count.

    Raises:
        FileFormatError: Another ending, or this OpenCV can't write an MP4 that it reads again.
        OSError: The file can't be written.
    """
    check_ending(path)
    if path.suffix.lower() == ".gif":
        _write_gif(path, pictures, seconds, colors[:_MOST_EXACT])
    else:
        _write_mp4(path, pictures, seconds)


def _write_gif(
    path: Path, pictures: Sequence[RgbImage], seconds: Sequence[float], colors: Sequence[Rgb]
) -> None:
    # One palette, nothing dithered: what stands still is equal from picture to picture, and takes
    # no room after the first.
    places = np.linspace(0, len(pictures) - 1, min(_SAMPLED, len(pictures))).round().astype(int)
    sampled = np.concatenate([pictures[place] for place in places], axis=0)
    found = Image.fromarray(sampled).quantize(_COLORS - len(colors), dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(found.getpalette() or ()), *(part for color in colors for part in color)])
    first, *others = (
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures
    )
    # Browsers take less than 20 ms for none at all.
    milliseconds = [max(round(100 * s), 2) * 10 for s in seconds]
    replace_with(
        path,
        lambda temporary: first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=milliseconds if others else milliseconds[0],
            loop=0,
        ),
    )


def _write_mp4(path: Path, pictures: Sequence[RgbImage], seconds: Sequence[float]) -> None:
    height, width = pictures[0].shape[:2]
    # OpenCV tells the container by the name's ending, which a file half written does not have.
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        draft = Path(folder) / "film.mp4"
        codec = cv2.VideoWriter.fourcc(*_CODEC)
        writer = cv2.VideoWriter(str(draft), codec, _FPS, (width, height))
        try:
            for picture, standing_s in zip(pictures, seconds, strict=True):
                frame = np.ascontiguousarray(picture[:, :, ::-1])
                for _ in range(max(round(standing_s * _FPS), 1)):
                    writer.write(frame)
        finally:
            writer.release()
        if _is_readable(draft, (height, width)):
            write_bytes(path, draft.read_bytes())
            return
    raise FileFormatError(
        "This OpenCV can't write MP4.", remedy="Write a GIF: let the name end with .gif."
    )


def _is_readable(path: Path, size_hw: tuple[int, int]) -> bool:
    capture = cv2.VideoCapture(str(path))
    try:
        is_there, frame = capture.read()
    finally:
        capture.release()
    return bool(is_there) and frame is not None and frame.shape[:2] == size_hw
