"""Input that nnU-Net fails on late, or not at all: each row is mended or refused, by name.

What nnU-Net 2.8.1 itself does with it stands beside each row. From the task's side (JPEG, EXIF,
missing images, annotations) the rows are in tests/unit/backend/pipeline/cases/test_prepare.py.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from converters.images.image_pixels import read_image as decode
from converters.images.image_pixels import without_empty_color
from domain.errors import CaseError, TrainingError
from training.case_files import CaseFiles, write_case
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.nnunet.data.index import arrays_folder
from training.presets import TINY
from training.workspace import Workspace

# Images of 32 x 40 are resampled to half their size.
PRESET = dataclasses.replace(TINY, min_image_side=None, max_image_side=20, max_patch_side=32)
SIZE = (32, 40)
RNG = np.random.default_rng(0)
GREY = RNG.integers(1, 255, SIZE).astype(np.uint8)
RGB = RNG.integers(1, 255, (*SIZE, 3)).astype(np.uint8)


def square(value: int = 1, size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    labels = np.zeros(size, np.uint8)
    labels[4:20, 4:20] = value
    return labels


def through_a_file(
    image: npt.NDArray[Any], mode: str | None = None, kind: str = "PNG"
) -> npt.NDArray[Any]:
    """An image as it arrives from a file of that mode and kind."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, kind)
    return without_empty_color(decode(buffer.getvalue(), 7))


def run(
    workspace: Workspace, cases: list[CaseFiles], n_channels: int = 1, n_folds: int = 2
) -> PreparedDataset:
    folds = {case.case_id: i % n_folds for i, case in enumerate(cases)}
    return prepare(
        workspace,
        cases,
        folds,
        DatasetSpec(("a", "ignore"), n_channels, PRESET),
    )


# nnU-Net: IndexError for grey among RGB, RGB among grey, RGBA, palettes; no reader for JPEG.
# Mixed sizes, empty masks, constant images and images of one pixel work (unless resampled to none).
MENDED: dict[str, tuple[int, Callable[[], npt.NDArray[Any]]]] = {
    "jpg": (1, lambda: through_a_file(GREY, kind="JPEG")),
    "tif": (1, lambda: through_a_file(GREY, kind="TIFF")),
    "bmp": (1, lambda: through_a_file(GREY, kind="BMP")),
    "16 bits grey": (1, lambda: through_a_file(GREY.astype(np.uint16) * 257)),
    "16 bits RGB": (3, lambda: RGB.astype(np.uint16) * 257),
    "grey among RGB": (3, lambda: GREY),
    "RGB among grey": (1, lambda: RGB),
    "grey saved as RGB": (1, lambda: through_a_file(GREY, "RGB")),
    "RGBA": (3, lambda: through_a_file(RGB, "RGBA")),
    "RGBA among grey": (1, lambda: through_a_file(RGB, "RGBA")),
    "grey with alpha": (1, lambda: through_a_file(GREY, "LA")),
    "palette": (3, lambda: through_a_file(RGB, "P")),
    "1 bit": (1, lambda: through_a_file(GREY, "1")),
    "CMYK": (3, lambda: through_a_file(RGB, "CMYK", "TIFF")),
    "another size": (1, lambda: GREY[:21, :33]),
    "a constant image": (1, lambda: np.full(SIZE, 90, np.uint8)),
    "a black image": (1, lambda: np.zeros(SIZE, np.uint8)),
    "a thin image": (1, lambda: GREY[:2]),
}


@pytest.mark.slow
@pytest.mark.parametrize("row", MENDED)
def test_mended(tmp_path: Path, row: str) -> None:
    n_channels, odd = MENDED[row]
    workspace = Workspace(tmp_path, 1)
    usual = RGB if n_channels == 3 else GREY
    image = odd()
    cases = [
        write_case(workspace, "usual", usual, square(), n_channels=n_channels),
        write_case(
            workspace, "odd", image, square(2, (len(image), image.shape[1])), n_channels=n_channels
        ),
    ]
    assert run(workspace, cases, n_channels).n_cases == 2
    array = blosc2.open(str(arrays_folder(workspace) / "odd.b2nd"), mode="r")[:]
    assert array.shape[0] == n_channels
    assert np.isfinite(array).all()
    assert min(array.shape) > 0
    # Normalised: 16 bits, 8 bits and 1 bit end up on one scale.
    assert abs(array.mean()) < 0.1
    assert array.std() < 1.5


def test_a_pixel_at_full_resolution(tmp_path: Path) -> None:
    """nnU-Net: works."""
    workspace = Workspace(tmp_path, 1)
    cases = [
        write_case(workspace, "usual", GREY, square(), n_channels=1),
        write_case(workspace, "pixel", GREY[:1, :1], square(size=(1, 1)), n_channels=1),
    ]
    folds = {"usual": 0, "pixel": 1}
    full = dataclasses.replace(PRESET, max_image_side=None)
    prepare(workspace, cases, folds, DatasetSpec(("a",), 1, full))
    array = blosc2.open(str(arrays_folder(workspace) / "pixel.b2nd"), mode="r")
    assert array.shape == (1, 1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("is_border", [False, True])
def test_a_pixel_resampled_to_none_is_refused(tmp_path: Path, is_border: bool) -> None:
    """nnU-Net: ValueError in the resampling; it crops black borders before."""
    workspace = Workspace(tmp_path, 1)
    bordered = np.zeros(SIZE, np.uint8)
    bordered[5, 5] = 200
    image = bordered if is_border else bordered[5:6, 5:6]
    cases = [
        write_case(workspace, "usual", GREY, square(), n_channels=1),
        write_case(workspace, "other", GREY, square(), n_channels=1),
        write_case(workspace, "pixel", image, np.zeros_like(image), n_channels=1),
    ]
    with pytest.raises(CaseError, match=r"Case pixel: .*1 x 1 pixels"):
        run(workspace, cases)
    # Without it the others are prepared.
    assert run(workspace, cases[:2]).n_cases == 2


def test_fewer_cases_than_folds(tmp_path: Path) -> None:
    """nnU-Net: ValueError at training. Fewer folds here, of one case a single fold (`all`)."""
    workspace = Workspace(tmp_path, 1)
    cases = [write_case(workspace, f"c{i}", GREY, square(), n_channels=1) for i in range(2)]
    assert run(workspace, cases, n_folds=5).folds == (0, 1)
    assert run(workspace, cases[:1], n_folds=5).folds == (0,)


def test_all_masks_empty(tmp_path: Path) -> None:
    """nnU-Net: IndexError in the fingerprint."""
    workspace = Workspace(tmp_path, 1)
    cases = [write_case(workspace, f"c{i}", GREY, square(0), n_channels=1) for i in range(3)]
    with pytest.raises(TrainingError, match="None of the 3 training images has a labelled pixel"):
        run(workspace, cases)


def test_some_masks_empty_and_a_label_that_never_occurs(tmp_path: Path) -> None:
    """nnU-Net: works."""
    workspace = Workspace(tmp_path, 1)
    cases = [write_case(workspace, f"c{i}", GREY, square(i % 2), n_channels=1) for i in range(3)]
    assert run(workspace, cases).n_cases == 3


def test_an_undeclared_integer(tmp_path: Path) -> None:
    """nnU-Net: fails only in training, out of bounds."""
    workspace = Workspace(tmp_path, 1)
    cases = [write_case(workspace, f"c{i}", GREY, square(1 + 6 * i), n_channels=1) for i in (0, 1)]
    with pytest.raises(CaseError, match=r"Case c1: .*holds 7.*2 classes") as caught:
        run(workspace, cases)
    assert list(caught.value.faults) == ["c1"]


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_a_palette_or_colour_image_as_label(tmp_path: Path, mode: str) -> None:
    """nnU-Net: fails only in training, out of bounds."""
    workspace = Workspace(tmp_path, 1)
    cases = [write_case(workspace, f"c{i}", GREY, square(), n_channels=1) for i in (0, 1)]
    Image.fromarray(square()).convert(mode).save(cases[1].label_png)
    with pytest.raises(CaseError, match="Case c1: the label map is a colour or palette image"):
        run(workspace, cases)


def test_label_and_image_of_different_sizes(tmp_path: Path) -> None:
    """nnU-Net: AssertionError in preprocessing."""
    workspace = Workspace(tmp_path, 1)
    cases = [write_case(workspace, f"c{i}", GREY, square(), n_channels=1) for i in (0, 1)]
    Image.fromarray(square()[:, :30]).save(cases[1].label_png)
    with pytest.raises(CaseError, match=r"Case c1: .*\(32, 30\).*\(32, 40\)"):
        run(workspace, cases)


def test_a_case_of_another_number_of_channels(tmp_path: Path) -> None:
    """nnU-Net: IndexError in fingerprint or preprocessing."""
    workspace = Workspace(tmp_path, 1)
    cases = [
        write_case(workspace, "grey", GREY, square(), n_channels=1),
        write_case(workspace, "rgb", RGB, square(), n_channels=3),
    ]
    with pytest.raises(CaseError, match="Case rgb: the image has 3 channels"):
        run(workspace, cases)
