import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from converters.images import image_pixels
from converters.images.image_pixels import read_image, write_png
from domain.errors import ImageError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, orientation: int, format_: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, format_, exif=exif)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_and_grey_as_stored(format_: str) -> None:
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(RGB), format_), 1), RGB)
    grey = RGB[:, :, 0]
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(grey), format_), 1), grey)


def test_16_bit_grey_and_rgb_keep_their_depth() -> None:
    grey = np.array([[0, 256, 65535], [1, 1000, 40000]], dtype=np.uint16)
    rgb = np.stack([grey, grey // 2, grey // 3], axis=-1)
    back_grey = read_image(cv2.imencode(".png", grey)[1].tobytes(), 1)
    back_rgb = read_image(cv2.imencode(".png", rgb[:, :, ::-1])[1].tobytes(), 1)
    assert back_grey.dtype == back_rgb.dtype == np.uint16
    np.testing.assert_array_equal(back_grey, grey)
    np.testing.assert_array_equal(back_rgb, rgb)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (Image.fromarray(RGB).convert("RGBA"), (4, 6, 3)),
        (Image.fromarray(RGB).convert("P"), (4, 6, 3)),
        (Image.fromarray(RGB).convert("LA"), (4, 6)),
        (Image.fromarray(RGB).convert("1"), (4, 6)),
    ],
)
def test_other_modes_become_grey_or_rgb(image: Image.Image, shape: tuple[int, ...]) -> None:
    array = read_image(encoded(image), 1)
    assert array.shape == shape
    assert array.dtype == np.uint8
    expected = image.convert("RGB" if len(shape) == 3 else "L")
    np.testing.assert_array_equal(array, np.array(expected))
    if image.mode == "1":
        assert set(np.unique(array)) == {0, 255}


def test_cmyk_jpeg() -> None:
    array = read_image(encoded(Image.new("CMYK", (6, 4), (0, 255, 255, 0)), "JPEG"), 1)
    assert array.shape == (4, 6, 3)
    assert array[0, 0, 0] > 200 > 60 > array[0, 0, 1]


def test_transparency_drops_to_the_colour_below() -> None:
    image = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert read_image(encoded(image), 1)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_at_both_depths(orientation: int) -> None:
    eight = read_image(with_orientation(Image.fromarray(RGB), orientation), 1)
    assert eight.shape == ((4, 6, 3) if orientation < 5 else (6, 4, 3))
    # The same picture at 16 bits, which takes another path, with the same EXIF chunk put in.
    plain = cv2.imencode(".png", (RGB[:, :, ::-1].astype(np.uint16) * 257))[1].tobytes()
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(
        ">HHIHHI", 0x0112, 3, 1, orientation, 0, 0
    )
    chunk = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    sixteen = read_image(plain[:33] + chunk + plain[33:], 1)
    assert sixteen.dtype == np.uint16
    np.testing.assert_array_equal(sixteen // 257, eight)


def test_orientation_6_turns_clockwise() -> None:
    stored = np.zeros((2, 3), dtype=np.uint8)
    stored[1, 0] = 255  # bottom left goes to top left
    turned = read_image(with_orientation(Image.fromarray(stored), 6), 1)
    assert turned.tolist() == [[255, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("data", "said", "remedy"),
    [
        (b"", "it is empty", "a PNG, JPEG, TIFF, BMP or WebP image"),
        (b"<!doctype html>\n<html>401", "starts with '<!doctype html> <html>401'", "a PNG"),
        (b"\x89PNG\r\n\x1a\n", "a damaged or incomplete PNG image.", "the file by a whole one,"),
        (b"\xff\xd8\xff\xe0", "a damaged or incomplete JPEG image.", "the file by a whole one,"),
        (b"RIFF\x00\x00\x00\x00WEBP", "incomplete WebP image.", "the file by a whole one,"),
        (b"<svg/>", "starts with '<svg/>'", "a PNG"),
        (b"\x00\x80" * 9, "(it begins as no known image does)", "a PNG"),
    ],
)
def test_not_an_image(data: bytes, said: str, remedy: str) -> None:
    with pytest.raises(ImageError, match="Task 9: ") as caught:
        read_image(data, 9)
    assert (caught.value.task_id, caught.value.reason) == (9, "not_an_image")
    assert said in str(caught.value) and "\\x" not in str(caught.value)
    assert remedy in caught.value.remedy


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"])
@settings(max_examples=40)
@given(data=st.data())
def test_damaged_files_raise_nothing_else(format_: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(Image.fromarray(RGB), format_))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        array = read_image(cut, 3)
    except ImageError as error:
        assert error.reason in ("not_an_image", "too_large", "unsupported_pixels")
    else:
        assert array.dtype in (np.uint8, np.uint16)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def png_of(width: int, height: int) -> bytes:
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = encoded(Image.fromarray(RGB))
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]

    for size in ((10_000, 8_001), (100_000, 100_000)):
        with pytest.raises(ImageError) as caught:
            read_image(png_of(*size), 4)
        assert caught.value.reason == "too_large"
    monkeypatch.setattr(image_pixels, "MAX_PIXELS", 23)
    with pytest.raises(ImageError, match="6 x 4 pixels; the limit is 23"):
        read_image(encoded(Image.fromarray(RGB)), 4)


def test_pixels_that_are_no_picture() -> None:
    floats = Image.fromarray(np.ones((3, 3), dtype=np.float32))
    wide = Image.fromarray(np.full((3, 3), 70_000, dtype=np.int32))
    for image in (floats, wide):
        with pytest.raises(ImageError) as caught:
            read_image(encoded(image, "TIFF"), 4)
        assert caught.value.reason == "unsupported_pixels"
    narrow = Image.fromarray(np.full((3, 3), 60_000, dtype=np.int32))
    assert read_image(encoded(narrow, "TIFF"), 4).dtype == np.uint16


@pytest.mark.parametrize(
    "array",
    [RGB, RGB[:, :, 1], RGB.astype(np.uint16) * 250, RGB[:, :, 1].astype(np.uint16) * 250],
)
def test_png_round_trip(tmp_path: Path, array: npt.NDArray[np.uint8]) -> None:
    path = tmp_path / "a.png"
    write_png(path, array)
    back = read_image(path.read_bytes(), 1)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_png(path, RGB + 1)
    np.testing.assert_array_equal(read_image(path.read_bytes(), 1), RGB)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "array", [RGB.astype(np.float32), RGB[:, :, :2], RGB[0, 0], np.zeros((0, 3), dtype=np.uint8)]
)
def test_png_refuses_what_it_cannot_hold(tmp_path: Path, array: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="got"):
        write_png(tmp_path / "a.png", array)
    assert list(tmp_path.iterdir()) == []


def test_a_png_that_promises_more_bytes_than_it_has_takes_no_memory() -> None:
    """OpenCV made room for what a chunk said it has: 2 GB for 120 bytes."""
    whole = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint16))[1].tobytes()
    at = whole.index(b"IEND") - 4
    lying = whole[:at] + (2**31 - 1).to_bytes(4, "big") + b"tEXt" + whole[at:]
    assert image_pixels.decoded_16(whole) is not None
    assert image_pixels.decoded_16(lying) is None
    with pytest.raises(ImageError) as caught:
        read_image(lying, 7)
    assert caught.value.reason == "not_an_image"
