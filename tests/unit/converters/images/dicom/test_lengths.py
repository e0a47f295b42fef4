from __future__ import annotations

import struct
from pathlib import Path

import pytest
import SimpleITK

from converters.images.dicom.lengths import SLACK_BYTES, promises_too_much
from converters.images.image_pixels import read_image
from domain.errors import ImageError
from tests.fuzzing import small

FAR = SLACK_BYTES + 10_000


def _meta(syntax: bytes) -> bytes:
    padded = syntax + b"\0" * (len(syntax) % 2)
    return bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(padded)) + padded


def _explicit(group: int, element: int, kind: bytes, length: int, value: bytes = b"") -> bytes:
    if kind in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return struct.pack("<HH2sHL", group, element, kind, 0, length) + value
    return struct.pack("<HH2sH", group, element, kind, length) + value


def _item(element: int, length: int, value: bytes = b"") -> bytes:
    return struct.pack("<HHL", 0xFFFE, element, length) + value


EXPLICIT, IMPLICIT = _meta(b"1.2.840.10008.1.2.1"), _meta(b"1.2.840.10008.1.2")
OPEN = 0xFFFFFFFF


@pytest.mark.parametrize("n_frames", [1, 3])
@pytest.mark.parametrize("is_packed", [False, True])
def test_files_as_they_are_written_promise_what_they_have(
    tmp_path: Path, n_frames: int, is_packed: bool
) -> None:
    whole = small.dicom(n_frames)
    if is_packed:
        path = tmp_path / "a.dcm"
        path.write_bytes(whole)
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "b.dcm"))
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.Execute(SimpleITK.ReadImage(str(path)))
        whole = (tmp_path / "b.dcm").read_bytes()
    assert not promises_too_much(whole)
    # Cut short it is left to whoever reads it.
    assert not promises_too_much(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    "data",
    [
        EXPLICIT + _explicit(0x28, 0x10, b"UT", FAR),
        EXPLICIT + _explicit(0x7FE0, 0x10, b"OW", FAR, bytes(100)),
        EXPLICIT + _explicit(0x7FE0, 0x10, b"OB", OPEN, _item(0xE000, 0) + _item(0xE000, FAR)),
        EXPLICIT + _explicit(0x18, 1, b"SQ", OPEN, _item(0xE000, OPEN))
        + _explicit(0x18, 2, b"UT", FAR),
        IMPLICIT + struct.pack("<HHL", 0x28, 0x10, FAR),
        # Implicit lengths may look like the letters of a kind.
        IMPLICIT + struct.pack("<HH2sH", 0x28, 0x10, b"US", 0) + bytes(0x5355)
        + struct.pack("<HHL", 0x28, 0x11, FAR),
        struct.pack("<HHL", 8, 0x16, FAR),  # without a preamble
        bytes(128) + b"DICM" + struct.pack("<HHL", 2, 0x312E, 0x30303836),
        bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 3, b"U.", 0x32) + bytes(900),
        bytes(128) + b"DICM" + struct.pack("<HH2sH", 0, 0, b"UL", 4) + bytes(900),
    ],
)  # fmt: skip
def test_a_length_beyond_the_file_is_found(data: bytes) -> None:
    assert promises_too_much(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(3),
        EXPLICIT + _explicit(0x28, 0x10, b"UT", 1000),  # cut short, by little
        EXPLICIT + _explicit(0x28, 0x10, b"UN", OPEN) + struct.pack("<HHL", 1, 1, FAR),
        _meta(b"1.2.840.10008.1.2.2") + struct.pack(">HH2sHL", 0x28, 0x10, b"UT", 0, 4),
        EXPLICIT + _explicit(0x18, 1, b"SQ", OPEN, _item(0xE000, 8, bytes(8)) + _item(0xE0DD, 0)),
    ],
)
def test_what_can_not_be_followed_is_left_to_whoever_reads_it(data: bytes) -> None:
    assert not promises_too_much(data)


def test_such_a_file_is_a_damaged_image() -> None:
    lying = small.dicom()[:132] + _explicit(2, 0x10, b"UT", 0x7FFFFFFF)
    with pytest.raises(ImageError, match="damaged DICOM") as caught:
        read_image(lying, 7)
    assert caught.value.reason == "not_an_image"
