from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from converters.exports.nifti import nifti_bytes
from converters.masks.label_map_files import read_label_map, read_slice, stem_of
from domain.errors import FileFormatError

LABELS = np.array([[0, 1, 2], [3, 0, 1]], np.uint8)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.png", "a"),
        ("a.b.TIF", "a.b"),
        ("a.nii.gz", "a"),
        ("a.nii", "a"),
        ("a.npz", None),
        ("plans.json", None),
        (".png", None),
    ],
)
def test_stem(name: str, stem: str | None) -> None:
    assert stem_of(Path(name)) == stem


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(LABELS).save(path, dpi=(300, 300))
    stored = read_label_map(path)
    np.testing.assert_array_equal(stored.label_map, LABELS)
    # The resolution of print is no size of a pixel in the patient.
    assert stored.spacing_mm is None and stored.axes is None


def test_a_palette_is_its_integers(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS).convert("P")
    image.putpalette([200, 10, 10] * 256)
    image.putdata(LABELS.ravel())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png").label_map, LABELS)


def test_nifti_as_exported(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(nifti_bytes(LABELS, (0.5, 0.25)))
    stored = read_label_map(path)
    np.testing.assert_array_equal(stored.label_map, LABELS)
    assert stored.spacing_mm == (0.5, 0.25)
    path.write_bytes(nifti_bytes(LABELS, None))
    assert read_label_map(path).spacing_mm is None


@pytest.mark.parametrize(
    ("unit", "spacing_mm"),
    [("mm", (0.25, 0.5)), ("micron", (0.00025, 0.0005)), ("unknown", (0.25, 0.5)), ("sec", None)],
)
def test_units_of_nifti(tmp_path: Path, unit: str, spacing_mm: tuple[float, float] | None) -> None:
    # The first axis runs along the picture, so the second is the vertical one.
    image = nibabel.Nifti1Image(LABELS.astype(np.float32), np.diag([0.5, 0.25, 3, 1]))
    if unit == "sec":
        image.header.set_xyzt_units("unknown", "sec")
        image.header.set_zooms((1.0, 1.0))
    else:
        image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    stored = read_label_map(tmp_path / "a.nii")
    assert stored.spacing_mm == (None if spacing_mm is None else pytest.approx(spacing_mm))
    assert stored.label_map.dtype == np.uint8


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 2), np.uint8), "one slice"),
        (np.full((4, 5), 0.5, np.float32), "fractions"),
        (np.full((4, 5), np.nan, np.float32), "fractions"),
        (np.full((4, 5), 256, np.int16), "256"),
        (np.full((4, 5), -1, np.int16), "-1"),
    ],
)
def test_nifti_that_is_no_label_map(tmp_path: Path, array: npt.NDArray[Any], words: str) -> None:
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(FileFormatError, match=words):
        read_label_map(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("data", [b"", b"<html>", b"\x1f\x8b\x08\x00 cut off"])
def test_files_that_are_none(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileFormatError, match=name):
        read_label_map(tmp_path / name)
    with pytest.raises(FileFormatError):
        read_label_map(tmp_path / f"missing-{name}")


def test_a_slice_keeps_its_values(tmp_path: Path) -> None:
    values = np.array([[0.5, -3.0]], np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_slice(tmp_path / "a.nii.gz"), values)
