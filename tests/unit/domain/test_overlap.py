from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from hypothesis.extra import numpy as hnp

from domain.overlap import Overlap, overlap

label_maps = hnp.arrays(np.uint8, (5, 6), elements={"min_value": 0, "max_value": 3})


@pytest.mark.parametrize(
    ("first", "second", "dice", "iou"),
    [
        ([1, 1, 0], [0, 1, 1], 0.5, 1 / 3),
        ([1, 1, 0], [1, 1, 0], 1.0, 1.0),
        ([1, 0, 0], [0, 1, 1], 0.0, 0.0),
        # In one only: missed, or invented.
        ([1, 0, 0], [0, 0, 0], 0.0, 0.0),
        ([0, 0, 0], [0, 1, 0], 0.0, 0.0),
        # In neither: nothing is said.
        ([0, 0, 0], [0, 0, 0], None, None),
    ],
)
def test_hand_counted(
    first: list[int], second: list[int], dice: float | None, iou: float | None
) -> None:
    found = overlap(np.array([first], dtype=bool), np.array([second], dtype=bool))
    assert found.dice == dice
    assert found.iou == iou
    assert found.first_px == sum(first) and found.second_px == sum(second)


def test_images_without_a_pixel_say_nothing() -> None:
    assert overlap(np.zeros((0, 4), bool), np.zeros((0, 4), bool)) == Overlap(0, 0, 0)
    assert Overlap(0, 0, 0).dice is Overlap(0, 0, 0).iou is None


def test_areas_beyond_32_bits_are_counted() -> None:
    huge = 3 * 2**32
    assert Overlap(huge, huge, huge).dice == 1.0


@given(label_maps, label_maps)
def test_it_is_simpleitks_and_iou_follows_from_dice(
    a: npt.NDArray[Any], b: npt.NDArray[Any]
) -> None:
    filter_ = sitk.LabelOverlapMeasuresImageFilter()
    filter_.Execute(sitk.GetImageFromArray(a), sitk.GetImageFromArray(b))
    for k in (1, 2, 3):
        found = overlap(a == k, b == k)
        if found.dice is None or found.iou is None:
            assert not (a == k).any() and not (b == k).any()
            continue
        assert found.dice == pytest.approx(filter_.GetDiceCoefficient(k))
        assert found.iou == pytest.approx(filter_.GetJaccardCoefficient(k))
        assert found.iou == pytest.approx(found.dice / (2 - found.dice))
