from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from hypothesis.extra import numpy as hnp

from training.evaluation import dice_per_class, mean_dice, mean_over_cases, named_dice
from training.evaluation.dice import overlap

label_maps = hnp.arrays(np.uint8, (5, 6), elements={"min_value": 0, "max_value": 3})


def test_hand_counted() -> None:
    predicted = np.array([[1, 1, 0], [2, 0, 0]], np.uint8)
    truth = np.array([[1, 0, 0], [2, 2, 0]], np.uint8)
    # class 1: 2*1/(2+1); class 2: 2*1/(1+2); class 3: absent from both
    np.testing.assert_allclose(dice_per_class(predicted, truth, 3), [2 / 3, 2 / 3, 1])
    assert mean_dice(predicted, truth, 3) == pytest.approx(7 / 9)
    assert named_dice(predicted, truth, ["a", "b"]) == pytest.approx({"a": 2 / 3, "b": 2 / 3})


@given(label_maps, label_maps)
def test_symmetric_in_range_and_one_only_when_equal(a: np.ndarray, b: np.ndarray) -> None:
    scores = dice_per_class(a, b, 3)
    np.testing.assert_array_equal(scores, dice_per_class(b, a, 3))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (mean_dice(a, b, 3) == 1) == bool((a == b).all())


def test_a_class_seen_by_one_side_only_scores_zero() -> None:
    empty, full = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    assert dice_per_class(full, empty, 1) == [0]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        dice_per_class(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 1)


def test_mean_over_cases() -> None:
    cases = {"x": {"a": 1.0, "b": 0.0}, "y": {"a": 0.5, "b": 1.0}}
    assert mean_over_cases(cases) == {"a": 0.75, "b": 0.5}
    assert mean_over_cases({}) == {}


@given(label_maps, label_maps)
def test_overlap_is_simpleitks(a: np.ndarray, b: np.ndarray) -> None:
    filter_ = sitk.LabelOverlapMeasuresImageFilter()
    filter_.Execute(sitk.GetImageFromArray(a), sitk.GetImageFromArray(b))
    for k in (1, 2, 3):
        if (a == k).any() or (b == k).any():
            found = overlap(a == k, b == k)
            assert found.dice == pytest.approx(filter_.GetDiceCoefficient(k))
            assert found.iou == pytest.approx(filter_.GetJaccardCoefficient(k))


@given(label_maps, label_maps)
def test_iou_follows_from_dice(a: np.ndarray, b: np.ndarray) -> None:
    found = overlap(a == 1, b == 1)
    assert found.iou == pytest.approx(found.dice / (2 - found.dice))
