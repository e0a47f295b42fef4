"""Label maps of which little is known, at another size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.nnunet.data.sparse_resampling import resampled

IGNORED = 3


def _map(side: int = 60) -> npt.NDArray[Any]:
    return np.full((side, side), IGNORED, np.int16)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("left", range(24, 30))
def test_a_thin_scribble_stays(width: int, left: int) -> None:
    label_map = _map()
    label_map[:, left : left + width] = 1
    small = resampled(label_map, (10, 10), IGNORED)
    assert (small == 1).any(axis=1).all()  # unbroken
    assert set(np.unique(small)) == {1, IGNORED}


def test_nothing_is_made_up_where_labels_meet() -> None:
    # Three labels in one coarse pixel, none of which has half of it: nnU-Net would say background.
    label_map = _map(6)
    label_map[:, :2], label_map[:, 2:4] = 1, 2
    assert resampled(label_map, (1, 1), IGNORED).item() in (1, 2)


def test_a_single_point_stays_and_keeps_its_place() -> None:
    label_map = _map(200)
    label_map[150, 30] = 2
    small = resampled(label_map, (20, 20), IGNORED)
    assert np.argwhere(small == 2).tolist() == [[15, 3]]
    assert (small == IGNORED).sum() == 399


def test_what_is_known_everywhere_goes_by_the_greatest_share() -> None:
    label_map = np.zeros((60, 60), np.int16)
    label_map[10:40, 20:50] = 1
    small = resampled(label_map, (6, 6), IGNORED)
    assert (small == label_map[5::10, 5::10]).all()


def test_larger_than_it_was() -> None:
    label_map = _map(6)
    label_map[2:4, 2:4] = 1
    large = resampled(label_map, (24, 24), IGNORED)
    assert 40 <= (large == 1).sum() <= 90
    assert set(np.unique(large)) == {1, IGNORED}


def test_the_same_size_is_the_same_map_and_minus_one_is_a_label() -> None:
    # nnU-Net writes -1 where an image is black round its borders.
    label_map = _map(8)
    label_map[0] = -1
    same = resampled(label_map, (8, 8), IGNORED)
    assert (same == label_map).all()
    assert same is not label_map
    assert (resampled(label_map, (4, 4), IGNORED)[0] == -1).all()


@pytest.mark.parametrize("size_hw", [(1, 20), (1, 80), (2, 10)])
def test_an_image_of_one_line(size_hw: tuple[int, int]) -> None:
    label_map = np.full((1, 40), IGNORED, np.int16)
    label_map[0, 3], label_map[0, 20:30] = 2, 0
    found = resampled(label_map, size_hw, IGNORED)
    assert found.shape == size_hw
    assert set(np.unique(found)) == {0, 2, IGNORED}


def test_nothing_is_known_and_everything_is() -> None:
    assert (resampled(_map(), (7, 9), IGNORED) == IGNORED).all()
    assert (resampled(np.zeros((60, 60), np.int16), (7, 9), IGNORED) == 0).all()


def test_more_labels_than_pixels() -> None:
    """Each wants to be kept; none is made up, and the size is right."""
    label_map = np.arange(100, dtype=np.int16).reshape(10, 10)
    found = resampled(label_map, (2, 2), 255)
    assert set(found.ravel().tolist()) <= set(range(100))
