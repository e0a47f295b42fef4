from __future__ import annotations

import json
import math
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.evaluation import (
    DicePerCase,
    dice_per_class,
    image_dice,
    mean_over_cases,
    mean_over_classes,
    mean_over_images,
    named_dice,
)
from training.evaluation.dice import where_known

NAMES = ("a", "b", "c")
EMPTY = np.zeros((5, 6), np.uint8)

label_maps = hnp.arrays(np.uint8, (5, 6), elements={"min_value": 0, "max_value": 3})
pairs = st.lists(st.tuples(label_maps, label_maps), max_size=6)


def measured(
    maps: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]], names: tuple[str, ...] = NAMES
) -> DicePerCase:
    return {f"case {i}": named_dice(a, b, names) for i, (a, b) in enumerate(maps)}


def test_hand_counted() -> None:
    predicted = np.array([[1, 1, 0], [2, 0, 0]], np.uint8)
    truth = np.array([[1, 0, 0], [2, 2, 0]], np.uint8)
    # class 1: 2*1/(2+1); class 2: 2*1/(1+2); class 3: absent from both
    np.testing.assert_allclose(dice_per_class(predicted, truth, 3), [2 / 3, 2 / 3, math.nan])
    found = named_dice(predicted, truth, ["a", "b", "c"])
    assert found == {"a": pytest.approx(2 / 3), "b": pytest.approx(2 / 3), "c": None}
    assert image_dice(found.values()) == pytest.approx(2 / 3)


@given(label_maps, label_maps)
def test_symmetric_in_range_and_one_only_when_equal(
    a: npt.NDArray[Any], b: npt.NDArray[Any]
) -> None:
    scores = dice_per_class(a, b, 3)
    np.testing.assert_array_equal(scores, dice_per_class(b, a, 3))
    said = scores[~np.isnan(scores)]
    assert ((said >= 0) & (said <= 1)).all()
    assert (image_dice(said.tolist()) == 1) == bool((a == b).all())


def test_a_class_seen_by_one_side_only_scores_zero() -> None:
    full = np.ones((5, 6), np.uint8)
    assert dice_per_class(full, EMPTY, 1) == [0]
    assert dice_per_class(EMPTY, full, 1) == [0]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        dice_per_class(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 1)


def test_means_are_over_what_says_something() -> None:
    cases: DicePerCase = {
        "x": {"a": 1.0, "b": 0.0, "c": None},
        "y": {"a": 0.5, "b": None, "c": None},
        "empty": {"a": None, "b": None, "c": None},
    }
    means = mean_over_cases(cases)
    assert means == {"a": 0.75, "b": 0.0, "c": None}
    assert mean_over_classes(means) == pytest.approx(0.375)
    # The empty image is a good prediction, and no class's.
    assert mean_over_images(cases) == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_nothing_is_made_up() -> None:
    assert mean_over_cases({}) == {}
    assert mean_over_classes({}) is mean_over_images({}) is None
    only_empty: DicePerCase = {"x": {"a": None}}
    assert mean_over_cases(only_empty) == {"a": None}
    assert mean_over_classes({"a": None}) is None
    assert mean_over_images(only_empty) == image_dice([]) == 1.0


@given(pairs)
def test_a_class_nobody_has_drawn_changes_no_figure(
    maps: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
) -> None:
    before, after = measured(maps), measured(maps, (*NAMES, "debris"))
    means = mean_over_cases(after)
    assert means.pop("debris", None) is None
    assert means == mean_over_cases(before)
    assert mean_over_classes(mean_over_cases(after)) == mean_over_classes(mean_over_cases(before))
    assert mean_over_images(after) == mean_over_images(before)


@given(pairs, st.sampled_from(list(permutations((1, 2, 3)))))
def test_the_order_of_classes_does_not_matter(
    maps: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]], order: tuple[int, ...]
) -> None:
    table = np.array([0, *order], np.uint8)
    names = tuple(NAMES[order.index(k)] for k in (1, 2, 3))
    turned = measured([(table[a], table[b]) for a, b in maps], names)
    before = measured(maps)
    assert turned == before
    assert mean_over_cases(turned) == pytest.approx(mean_over_cases(before))
    assert mean_over_images(turned) == pytest.approx(mean_over_images(before))


@given(pairs)
def test_what_is_kept_is_json(maps: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> None:
    found = measured(maps)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_many_empty_images_do_not_touch_a_class() -> None:
    shown = np.ones((5, 6), np.uint8)
    half = shown.copy()
    half[:, 3:] = 0
    few = measured([(half, shown)])
    many = measured([(half, shown), *[(EMPTY, EMPTY)] * 500])
    assert mean_over_cases(many) == mean_over_cases(few)
    images = mean_over_images(many)
    assert images is not None and images > 0.99


def test_what_the_truth_ignores_counts_in_neither_map() -> None:
    truth = np.array([[1, 1, 3, 3, 0, 0]], np.uint8)
    predicted = np.array([[1, 0, 1, 2, 0, 2]], np.uint8)
    # Of class 1 one of two pixels, and none too many; of class 2 only one too many.
    assert dice_per_class(predicted, truth, 2).tolist() == [2 / 3, 0.0]
    without = predicted.copy()
    without[truth == 3] = 0
    np.testing.assert_array_equal(where_known(predicted, truth, 2), without)
    assert predicted[0, 2] == 1  # what was given stays


def test_a_class_that_is_seen_only_where_nobody_knows_says_nothing() -> None:
    truth, predicted = np.array([[3, 1]], np.uint8), np.array([[2, 1]], np.uint8)
    assert named_dice(predicted, truth, ("a", "b")) == {"a": 1.0, "b": None}
    # The same integer is a class where there are three.
    assert named_dice(predicted, truth, ("a", "b", "c")) == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_with_254_classes_the_last_integer_is_ignored() -> None:
    truth = np.full((1, 4), 255, np.uint8)
    truth[0, 0] = 254
    found = dice_per_class(np.full((1, 4), 254, np.uint8), truth, 254)
    assert found[253] == 1.0 and np.isnan(found[:253]).all()
