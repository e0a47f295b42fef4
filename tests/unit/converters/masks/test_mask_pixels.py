"""Every pixel format that a mask comes in gives the same label map."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from converters.masks.label_map_files import class_integers, white_as_class
from converters.masks.mask_pixels import decode_mask
from domain.errors import FileFormatError

INSIDE = np.zeros((6, 8), dtype=bool)
INSIDE[1:4, 2:7] = True
TWO = np.where(INSIDE, 1, 0).astype(np.uint8)
TWO[2, 3:5] = 2

Array = npt.NDArray[Any]


def _file(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def _of(array: Array, mode: str | None = None, format_: str = "PNG") -> bytes:
    image = Image.fromarray(array)
    return _file(image.convert(mode) if mode else image, format_)


def _cv(array: Array) -> bytes:
    return bytes(cv2.imencode(".png", array)[1].tobytes())


def _grey(inside: int, outside: int = 0, dtype: Any = np.uint8) -> Array:
    return np.where(INSIDE, inside, outside).astype(dtype)


def _rgba(color: Any, alpha: Any, hidden: Any = (0, 0, 0)) -> Array:
    bands = np.zeros((*INSIDE.shape, 4), dtype=np.uint8)
    bands[..., :3] = np.where(INSIDE[..., None], color, hidden)
    bands[..., 3] = alpha
    return bands


def _palette(indices: Array, colors: list[int], **options: Any) -> bytes:
    image = Image.fromarray(indices, mode="P")
    image.putpalette(colors)
    return _file(image, **options)


ALPHA = np.where(INSIDE, 255, 0)
SOFT = np.where(INSIDE, 255, 0)
SOFT[0, 2:7], SOFT[1, 2:7] = 90, 200  # antialiased

ONE_CLASS: dict[str, Callable[[], bytes]] = {
    "1 bit": lambda: _file(Image.fromarray(INSIDE)),
    "grey 0/1": lambda: _of(_grey(1)),
    "grey 0/255": lambda: _of(_grey(255)),
    "16 bits 0/1": lambda: _of(_grey(1, dtype=np.uint16)),
    "16 bits 0/65535": lambda: _of(_grey(65535, dtype=np.uint16)),
    "16 bits, stretched from 1": lambda: _of(_grey(257, dtype=np.uint16)),
    "32 bits": lambda: _of(_grey(1, dtype=np.int32), format_="TIFF"),
    "32 bits, white": lambda: _of(_grey(2**31 - 1, dtype=np.int32), format_="TIFF"),
    "floats": lambda: _of(_grey(1, dtype=np.float32), format_="TIFF"),
    "RGB 0/255": lambda: _of(_grey(255), "RGB"),
    "RGB 0/1": lambda: _of(_grey(1), "RGB"),
    "RGB of 16 bits": lambda: _cv(np.dstack([_grey(65535, dtype=np.uint16)] * 3)),
    "BMP": lambda: _of(_grey(255), format_="BMP"),
    "GIF": lambda: _of(_grey(255), format_="GIF"),
    "JPEG": lambda: _of(np.kron(_grey(255), np.ones((8, 8), np.uint8)), format_="JPEG"),
    "WebP": lambda: _of(np.kron(_grey(255), np.ones((8, 8), np.uint8)), "RGB", "WEBP"),
    "grey and opaque": lambda: _of(np.dstack([_grey(255), _grey(255, 255)])),
    "grey, transparent outside": lambda: _of(np.dstack([_grey(1), ALPHA.astype(np.uint8)])),
    "white everywhere, mask in alpha": lambda: _of(_rgba((255,) * 3, ALPHA, (255,) * 3)),
    "black everywhere, mask in alpha": lambda: _of(_rgba((0,) * 3, ALPHA)),
    "grey and alpha, mask in alpha": lambda: _of(
        np.dstack([_grey(255, 255), ALPHA.astype(np.uint8)])
    ),
    "antialiased alpha": lambda: _of(_rgba((255,) * 3, SOFT, (255,) * 3)),
    "half transparent overlay": lambda: _of(_rgba((255,) * 3, np.where(INSIDE, 100, 0))),
    "white under opaque alpha": lambda: _of(_rgba((255,) * 3, 255)),
    "alpha of nothing": lambda: _of(_rgba((1,) * 3, 0)),
    "RGBA of 16 bits, mask in alpha": lambda: _cv(
        np.dstack([_grey(65535, 65535, np.uint16)] * 3 + [_grey(65535, dtype=np.uint16)])
    ),
    "palette": lambda: _palette(_grey(1), [0, 0, 0, 255, 0, 0]),
    "palette of black and white": lambda: _palette(_grey(1), [0, 0, 0, 255, 255, 255]),
    "palette with white first": lambda: _palette(_grey(1, 0), [255, 255, 255, 0, 0, 9]),
    "palette in another order": lambda: _palette(_grey(0, 1), [255, 255, 255, 0, 0, 0]),
    "palette of greys in another order": lambda: _palette(_grey(0, 1), [1, 1, 1, 0, 0, 0]),
}


@pytest.mark.parametrize("name", ONE_CLASS)
def test_one_class_in_every_format(name: str) -> None:
    picture = decode_mask(ONE_CLASS[name](), "a.png")
    assert picture.colors == {}
    found = white_as_class(picture.label_map, [1])
    scale = found.shape[0] // INSIDE.shape[0]
    wanted = np.kron(INSIDE, np.ones((scale, scale), dtype=bool))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted.astype(np.uint8))


@pytest.mark.parametrize(
    "data",
    [
        _of(TWO),
        _of(TWO.astype(np.uint16)),
        _of(TWO.astype(np.uint16) * 257),
        _of(TWO, "RGB"),
        _of(np.dstack([TWO, np.full_like(TWO, 255)])),
        _of(np.dstack([TWO, np.where(TWO, 255, 0).astype(np.uint8)])),
        _palette(TWO, [0, 0, 0, 0, 255, 0, 255, 0, 0]),
        _palette(np.array([1, 2, 0], np.uint8)[TWO], [2, 2, 2, 0, 0, 0, 1, 1, 1]),
        _of(TWO, format_="TIFF"),
    ],
)
def test_two_classes_keep_their_integers(data: bytes) -> None:
    picture = decode_mask(data, "a.png")
    assert picture.colors == {}
    np.testing.assert_array_equal(picture.label_map, TWO)
    np.testing.assert_array_equal(white_as_class(picture.label_map, [1, 2]), TWO)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "palette ordered by a packer", "16 bits"])
def test_colours_are_classes_and_black_is_background(kind: str) -> None:
    colors = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 0]], np.uint8)
    rgb = colors[TWO]
    if kind == "RGBA":
        data = _of(
            np.dstack([np.where(TWO[..., None], rgb, 77), np.where(TWO, 255, 0)]).astype("u1")
        )
    elif kind == "16 bits":
        data = _cv(rgb[:, :, ::-1].astype(np.uint16) * 257)
    elif kind == "RGB":
        data = _of(rgb)
    else:
        data = _palette(np.array([2, 0, 1], np.uint8)[TWO], [255, 0, 0, 0, 128, 0, 0, 0, 0])
    picture = decode_mask(data, "a.png")
    by_color = {color: picture.label_map == i for i, color in picture.colors.items()}
    assert by_color.keys() == {"#ff0000", "#008000"}
    np.testing.assert_array_equal(by_color["#ff0000"], TWO == 1)
    np.testing.assert_array_equal(by_color["#008000"], TWO == 2)
    assert not picture.label_map[TWO == 0].any()


def _noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_of(_noise(20, 20, 3)), "colours, not a mask"),
        (_of(_noise(40, 40), format_="JPEG"), "lossy"),
        (_of(_grey(1000, dtype=np.uint16)), "holds the value 1000"),
        (_of(_grey(-1, dtype=np.int32), format_="TIFF"), "holds the value -1"),
        (_of(_grey(1, dtype=np.float32) / 2, format_="TIFF"), "fractions"),
        (_of(_grey(1) * np.float32("nan"), format_="TIFF"), "fractions"),
        (b"<html>", "is no image"),
        (_of(TWO)[:60], "can't be read"),
        (b"", "is no image"),
    ],
)
def test_what_is_no_mask_says_why(data: bytes, words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        decode_mask(data, "a.png")


def test_several_pages_are_several_masks() -> None:
    pages = [Image.fromarray(TWO), Image.fromarray(TWO)]
    data = _file(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(FileFormatError, match="2 pages"):
        decode_mask(data, "a.tif")


def test_white_is_a_class_where_it_stands_beside_others() -> None:
    white = _grey(255)
    assert white_as_class(white, [1, 2]).max() == 1
    assert white_as_class(white, [3]).max() == 3
    assert white_as_class(white, [1, 255]).max() == 255
    assert white_as_class(_grey(255, 1), [1]).max() == 255  # a void beside class 1
    assert class_integers([{0, 255}, {0}, {0, 255}]) == {1}
    assert class_integers([{0, 255}, {0, 3}]) == {1, 3}
    assert class_integers([{0, 255, 3}, {0, 255}]) == {3, 255}
    assert class_integers([]) == set()
