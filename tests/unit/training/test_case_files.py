from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

from domain.errors import TrainingError
from training.case_files import find_cases, read_case_image, read_image, with_channels, write_case
from training.workspace import Workspace

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 2), (7, 9, 3), (7, 9, 4)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_every_kind_of_image_survives_the_disk(
    tmp_path: Path, dtype: type, shape: tuple[int, ...], n_channels: int
) -> None:
    image: Any = RNG.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    labels = RNG.integers(0, 3, (7, 9)).astype(np.uint8)
    case = write_case(Workspace(tmp_path, 1), "c", image, labels, n_channels=n_channels)
    stored = read_case_image(Workspace(tmp_path, 1), "c")
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n_channels", [2, 4, 6])
def test_stacked_images_survive_the_disk(tmp_path: Path, dtype: type, n_channels: int) -> None:
    workspace = Workspace(tmp_path, 1)
    image: Any = RNG.integers(0, np.iinfo(dtype).max, (7, 9, n_channels)).astype(dtype)
    labels = np.zeros((7, 9), np.uint8)
    case = write_case(workspace, "c", image, labels, n_channels=n_channels)
    assert [p.name for p in case.image_pngs] == [f"c_{i:04d}.png" for i in range(n_channels)]
    np.testing.assert_array_equal(read_case_image(workspace, "c"), image)
    assert find_cases(workspace, {"c": case.content_hash}, n_channels) == {"c": case}
    # In grey again: no file of the old kind is left.
    grey = write_case(workspace, "c", image[..., 0], labels, n_channels=1)
    assert find_cases(workspace, {"c": case.content_hash}, n_channels) == {}
    assert find_cases(workspace, {"c": grey.content_hash}, 1) == {"c": grey}
    assert len(list(grey.image_pngs[0].parent.iterdir())) == 1


def test_nnunets_reader_sees_the_same_channels(tmp_path: Path) -> None:
    """It cuts the low byte off RGB files with 16 bits; those have a file per channel."""
    for n_channels, dtype in ((1, np.uint16), (3, np.uint8), (3, np.uint16), (2, np.uint8)):
        image = RNG.integers(0, np.iinfo(dtype).max, (5, 6, n_channels)).astype(dtype)
        case = write_case(
            Workspace(tmp_path, 1), "c", image, np.zeros((5, 6), np.uint8), n_channels=n_channels
        )
        read, _ = NaturalImage2DIO().read_images([str(path) for path in case.image_pngs])
        np.testing.assert_array_equal(read[:, 0], np.moveaxis(image, 2, 0))


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    image, labels = np.ones((4, 4, 2), np.uint8), np.zeros((4, 4), np.uint8)
    case = write_case(workspace, "c", image, labels, n_channels=2)
    case.image_pngs[1].unlink()
    assert find_cases(workspace, {"c": case.content_hash}, 2) == {}
    case = write_case(workspace, "c", image, labels, n_channels=2)
    case.label_png.unlink()
    assert find_cases(workspace, {"c": case.content_hash}, 2) == {}
    with pytest.raises(TrainingError, match="nobody_0000"):
        read_case_image(workspace, "nobody")


def test_stacked_grey_and_stacked_colour_agree() -> None:
    grey = RNG.integers(0, 255, (4, 5, 2)).astype(np.uint8)
    color = with_channels(grey, 6)
    np.testing.assert_array_equal(color, grey[:, :, [0, 0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(with_channels(color, 2), grey)


@pytest.mark.parametrize(("shape", "n"), [((4, 4), 2), ((4, 4, 3), 2), ((4, 4, 2), 4)])
def test_channels_that_can_not_be_made_are_refused(shape: tuple[int, ...], n: int) -> None:
    with pytest.raises(TrainingError, match=rf"the model {n}\."):
        with_channels(np.zeros(shape, np.uint8), n)


def test_no_channels_at_all() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        with_channels(np.zeros((4, 4), np.uint8), 0)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 5, 1), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_image_is_refused(image: Any) -> None:
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
