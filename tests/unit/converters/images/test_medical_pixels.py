"""DICOM and NIfTI as SimpleITK and nibabel write them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK

from backend.from_files.predictions.inputs import find_images
from converters.exports.nifti import nifti_bytes
from converters.images.image_pixels import read_image
from converters.images.medical_pixels import (
    DICOM,
    HEAD_BYTES,
    NIFTI,
    load_slices,
    medical_kind,
    n_pictures,
    read_medical,
)
from converters.images.of_tasks import image_size_hw
from domain.errors import FileFormatError, ImageError
from tests.fuzzing import small

GREY = (np.arange(12 * 20).reshape(12, 20) * 17).astype(np.uint16)


def dicom(path: Path, array: npt.NDArray[Any], *, is_color: bool = False, **tags: str) -> bytes:
    image = SimpleITK.GetImageFromArray(array[np.newaxis], isVector=is_color)
    image.SetMetaData("0008|0060", "US")
    for tag, value in tags.items():
        image.SetMetaData(f"{tag[1:5]}|{tag[5:]}", value)
    SimpleITK.WriteImage(image, str(path))
    return path.read_bytes()


def test_a_grey_dicom_with_the_size_of_its_pixels(tmp_path: Path) -> None:
    data = dicom(tmp_path / "a.dcm", GREY, t00080060="CR", t00181164="0.5\\0.2")
    assert medical_kind(data[:HEAD_BYTES]) == DICOM
    found = read_medical(data, 0)
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(read_image(data, 0), GREY)
    assert image_size_hw(tmp_path / "a.dcm", 0) == (12, 20)


_KINDS = {"CT": "2", "CR": "1", "US": "6.1", "OT": "7"}
_PATIENT, _DETECTOR, _FILM = (0x0028, 0x0030), (0x0018, 0x1164), (0x0018, 0x2010)


def plain_dicom(modality: str, tags: dict[tuple[int, int], str]) -> bytes:
    """GREY in a file with nothing but what it needs, and these texts: preamble, head, data set."""
    kind = f"1.2.840.10008.5.1.4.1.1.{_KINDS[modality]}"
    rows, columns = (struct.pack("<H", side) for side in GREY.shape)
    head = _elements(
        {
            (2, 0x02): (b"UI", kind.encode()),
            (2, 0x03): (b"UI", b"1.2.3"),
            (2, 0x10): (b"UI", b"1.2.840.10008.1.2.1"),
        }
    )
    numbers = {0x02: 1, 0x100: 16, 0x101: 16, 0x102: 15, 0x103: 0}
    data_set = _elements(
        {
            (0x0008, 0x0016): (b"UI", kind.encode()),
            (0x0008, 0x0018): (b"UI", b"1.2.3"),
            (0x0008, 0x0060): (b"CS", modality.encode()),
            (0x0028, 0x0004): (b"CS", b"MONOCHROME2"),
            **{(0x0028, at): (b"US", struct.pack("<H", n)) for at, n in numbers.items()},
            (0x0028, 0x0010): (b"US", rows),
            (0x0028, 0x0011): (b"US", columns),
            **{tag: (b"DS", text.encode()) for tag, text in tags.items()},
            (0x7FE0, 0x0010): (b"OW", GREY.tobytes()),
        }
    )
    length = _elements({(2, 0): (b"UL", struct.pack("<I", len(head)))})
    return bytes(128) + b"DICM" + length + head + data_set


def _elements(found: dict[tuple[int, int], tuple[bytes, bytes]]) -> bytes:
    parts = []
    for tag, (kind, value) in sorted(found.items()):
        value += (b"\0" if kind == b"UI" else b" ") * (len(value) % 2)
        length = (
            struct.pack("<HI", 0, len(value)) if kind == b"OW" else struct.pack("<H", len(value))
        )
        parts.append(struct.pack("<HH", *tag) + kind + length + value)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "tags", "expected"),
    [
        ("CT", {_PATIENT: "0.4\\0.1"}, (0.4, 0.1)),
        ("CR", {_PATIENT: "0.4\\0.1"}, (0.4, 0.1)),
        ("CR", {_DETECTOR: "0.5\\0.2"}, (0.5, 0.2)),
        ("CT", {_DETECTOR: "0.5\\0.2"}, (0.5, 0.2)),
        ("OT", {_FILM: "0.6\\0.3"}, (0.6, 0.3)),
        # Calibrated at the patient: what is seen there is smaller than its shadow at the detector.
        ("CR", {_PATIENT: "0.4\\0.1", _DETECTOR: "0.5\\0.2"}, (0.4, 0.1)),
        ("CR", {_PATIENT: "0\\0", _DETECTOR: "0.5\\0.2"}, (0.5, 0.2)),
        ("CT", {_PATIENT: "0\\0"}, None),
        ("CT", {}, None),
        ("US", {}, None),
    ],
)
def test_the_size_of_a_pixel_whatever_kind_of_image_says_it(
    kind: str, tags: dict[tuple[int, int], str], expected: tuple[float, float] | None
) -> None:
    """GDCM reads one tag by the kind of image, and 1 x 1 mm where the file has another."""
    found = read_medical(plain_dicom(kind, tags), 0)
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.spacing_mm == expected


@pytest.mark.parametrize("keeps_head", [True, False])
def test_a_file_without_a_preamble_is_dicom_too(keeps_head: bool, tmp_path: Path) -> None:
    """As old archives have them: told by its first tag, with an ending and without."""
    whole = plain_dicom("CT", {_PATIENT: "0.4\\0.1"})
    bare = whole[132:] if keeps_head else whole[whole.index(b"\x08\x00\x16\x00UI") :]
    assert medical_kind(bare[:HEAD_BYTES]) == DICOM
    found = read_medical(bare, 0)
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.spacing_mm == (0.4, 0.1)
    for name in ("IM000001", "a.dcm", "scan"):
        (tmp_path / name).write_bytes(bare)
    images = [one.name for one in find_images([tmp_path], tmp_path / "out")]
    assert images == ["IM000001", "a.dcm", "scan"]
    with pytest.raises(ImageError, match="damaged DICOM"):
        read_medical(bare[:-20], 0)


def test_what_begins_alike_is_no_dicom() -> None:
    for start in (b"\x08\x00", b"\x08\x00\x00\x00\xff\xff\xff\xff", b"\x02\x00ab", b"\x08 text"):
        assert medical_kind(start + b" " * 10) == ""


def test_where_low_is_white_it_is_turned_round(tmp_path: Path) -> None:
    data = dicom(tmp_path / "a.dcm", GREY, t00080060="CR")
    inverted = data.replace(b"MONOCHROME2 ", b"MONOCHROME1 ")
    assert inverted != data
    pixels = read_medical(inverted, 0).pixels
    np.testing.assert_array_equal(pixels, 65535 - GREY)


def test_a_colour_dicom(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    found = read_medical(dicom(tmp_path / "a.dcm", rgb, is_color=True), 0)
    np.testing.assert_array_equal(found.pixels, rgb)
    assert found.spacing_mm is None


def test_numbers_below_zero_are_shifted(tmp_path: Path) -> None:
    hounsfield = (np.arange(12 * 20).reshape(12, 20) - 100).astype(np.int16)
    found = read_medical(dicom(tmp_path / "a.dcm", hounsfield, t00080060="CT"), 0)
    np.testing.assert_array_equal(found.pixels.astype(int), hounsfield.astype(int) + 100)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.stack([GREY] * 3))
    image.SetMetaData("0008|0060", "US")
    SimpleITK.WriteImage(image, str(tmp_path / "a.dcm"))
    with pytest.raises(ImageError, match="3 frames") as caught:
        read_medical((tmp_path / "a.dcm").read_bytes(), 7)
    assert caught.value.reason == "several_images"
    volume = nibabel.Nifti1Image(np.stack([GREY] * 3, axis=-1), np.eye(4))
    with pytest.raises(ImageError, match="one slice") as caught:
        read_medical(volume.to_bytes(), 7)
    assert caught.value.reason == "several_images"


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_slice_of_nifti_lies_as_viewers_show_it(is_packed: bool) -> None:
    data = nifti_bytes(GREY, (0.5, 0.25))
    data = data if is_packed else gzip.decompress(data)
    assert medical_kind(data[:HEAD_BYTES]) == NIFTI
    found = read_medical(data, 0)
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.spacing_mm == pytest.approx((0.5, 0.25))


def test_floats_are_stretched_and_keep_their_order() -> None:
    floats = np.linspace(-1, 1, 240, dtype=np.float32).reshape(12, 20)
    image = nibabel.Nifti1Image(floats.T[:, :, np.newaxis], np.diag([-1.0, -1.0, 1.0, 1.0]))
    pixels = read_medical(image.to_bytes(), 0).pixels
    assert pixels.dtype == np.uint16 and (pixels.min(), pixels.max()) == (0, 65535)
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()
    image = nibabel.Nifti1Image(np.full((4, 5, 1), np.nan, np.float32), np.eye(4))
    with pytest.raises(ImageError, match="no number"):
        read_medical(image.to_bytes(), 0)


@pytest.mark.parametrize("n", [140, 300, 5000])
def test_half_a_file_is_a_damaged_image(tmp_path: Path, n: int) -> None:
    whole = dicom(tmp_path / "a.dcm", np.tile(GREY, (20, 20)))
    with pytest.raises(ImageError, match=r"damaged|can't be read") as caught:
        read_image(whole[:n], 3)
    assert caught.value.reason == "not_an_image"
    packed = nifti_bytes(np.random.default_rng(0).permuted(GREY), None)
    with pytest.raises(ImageError):
        read_image(packed[: min(n, len(packed) - 9)], 3)


def test_pictures_are_neither() -> None:
    assert medical_kind(b"") == medical_kind(b"\x89PNG" + b"0" * 400) == ""
    assert medical_kind(b"\x1f\x8b" + b"0" * 400) == medical_kind(gzip.compress(b"text")) == ""


def test_a_nifti_of_numbers_that_nobody_knows_has_one_slice_and_can_not_be_read(
    tmp_path: Path,
) -> None:
    raw = bytearray(small.nifti(3, is_packed=False))
    raw[70:72] = b"\0\0"  # the kind of number
    path = tmp_path / "a.nii"
    path.write_bytes(raw)
    assert n_pictures(path) == 1
    with pytest.raises(FileFormatError):
        load_slices(path)
