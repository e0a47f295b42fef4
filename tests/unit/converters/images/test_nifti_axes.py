"""How a slice of NIfTI lies: as nnloop, SimpleITK and viewers show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK

from converters.exports.nifti import nifti_bytes
from converters.images.nifti_axes import NiftiAxes
from converters.masks.label_map_files import read_label_map, read_mask, read_slice

SHOWN = np.array([[0, 1, 2, 1], [3, 0, 1, 2]], np.uint8)
"""What a person sees: 2 rows, 4 columns."""


def _diagonal(x: float, y: float) -> npt.NDArray[Any]:
    return np.diag([x, y, 1.0, 1.0])


def test_what_nnloop_and_simpleitk_write_comes_back(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.nii.gz", tmp_path / "theirs.nii.gz"
    ours.write_bytes(nifti_bytes(SHOWN, (0.5, 0.25)))
    image = SimpleITK.GetImageFromArray(SHOWN[np.newaxis])
    image.SetSpacing((0.25, 0.5, 1.0))
    SimpleITK.WriteImage(image, str(theirs))
    for path in (ours, theirs):
        stored = read_label_map(path)
        np.testing.assert_array_equal(stored.label_map, SHOWN)
        np.testing.assert_array_equal(read_slice(path), SHOWN)
        np.testing.assert_array_equal(read_mask(path)[1].label_map, SHOWN)
        assert stored.spacing_mm == pytest.approx((0.5, 0.25))
        assert stored.doubt == ""


@pytest.mark.parametrize(
    ("stored", "affine", "doubt"),
    [
        (SHOWN.T, _diagonal(-0.5, -0.5), ""),
        (SHOWN.T[::-1], _diagonal(0.5, -0.5), "mirrored"),
        (SHOWN.T[::-1, ::-1], _diagonal(0.5, 0.5), "mirrored"),
        (SHOWN, np.eye(4), "does not say"),
        # coronal: rows to the feet; sagittal: columns to the back
        (SHOWN.T, np.diag([-1.0, 1, 1, 1])[:, [0, 2, 1, 3]] * [1, -1, 1, 1], ""),
        (SHOWN.T, np.eye(4)[:, [1, 2, 0, 3]] * [-1, -1, 1, 1], ""),
        (SHOWN, np.zeros((4, 4)), "does not say"),
    ],
)
def test_the_header_decides_and_what_is_doubtful_is_said(
    stored: npt.NDArray[Any], affine: npt.NDArray[Any], doubt: str
) -> None:
    axes = NiftiAxes(affine[:3, :3])
    np.testing.assert_array_equal(axes.shown(stored), SHOWN)
    np.testing.assert_array_equal(axes.stored(SHOWN), stored)
    assert doubt in axes.doubt and bool(doubt) == bool(axes.doubt)


def test_a_header_without_directions_is_not_guessed_from(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(SHOWN[:, :, np.newaxis], None)
    nibabel.save(image, tmp_path / "a.nii")
    stored = read_label_map(tmp_path / "a.nii")
    np.testing.assert_array_equal(stored.label_map, SHOWN)
    assert "does not say how it lies" in stored.doubt
