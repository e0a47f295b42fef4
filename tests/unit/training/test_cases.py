from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domain.errors import TrainingError
from training.cases import read_image, with_channels, write_case
from training.workspace import Workspace

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 2), (7, 9, 3), (7, 9, 4)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_every_kind_of_image_survives_the_disk(
    tmp_path: Path, dtype: type, shape: tuple[int, ...], n_channels: int
) -> None:
    image = RNG.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    labels = RNG.integers(0, 3, (7, 9)).astype(np.uint8)
    case = write_case(Workspace(tmp_path, 1), "c", image, labels, n_channels=n_channels)
    stored = read_image(case.image_png)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, with_channels(image, n_channels))
    assert stored.shape == ((7, 9) if n_channels == 1 else (7, 9, 3))
    np.testing.assert_array_equal(read_image(case.label_png), labels)


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    image, labels = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    first = write_case(workspace, "c", image, labels, n_channels=1)
    assert write_case(workspace, "c", image, labels, n_channels=1) == first
    labels[0, 0] = 1
    changed = write_case(workspace, "c", image, labels, n_channels=1)
    assert changed.content_hash != first.content_hash


def test_grey_of_pure_colours_is_their_luma() -> None:
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_array_equal(with_channels(rgb, 1), [[76, 150, 29]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_of_grey_and_rgb_agree(dtype: type[np.unsignedinteger]) -> None:
    grey = np.array([[0, 7, 200], [np.iinfo(dtype).max, 1, 90]], dtype)
    as_rgb = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    for n, shape in ((1, (2, 3)), (3, (2, 3, 3))):
        of_grey, of_rgb = with_channels(grey, n), with_channels(as_rgb, n)
        assert of_grey.shape == of_rgb.shape == shape
        assert of_grey.dtype == of_rgb.dtype == dtype
        np.testing.assert_array_equal(of_grey, of_rgb)


@pytest.mark.parametrize("n", [0, 2, 4])
def test_other_numbers_of_channels_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or 3"):
        with_channels(np.zeros((4, 4), np.uint8), n)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(TrainingError, match="uint8 or uint16"):
        with_channels(image, 1)


def test_sizes_must_agree(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"Case c.*\(4, 4\).*\(4, 5\)"):
        write_case(
            Workspace(tmp_path, 1),
            "c",
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 5), np.uint8),
            n_channels=1,
        )
