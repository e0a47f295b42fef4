import math
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from active_learning.score import expected_quality
from active_learning.uncertainty import (
    expected_soft_dice,
    mutual_information,
    pairwise_fold_dice,
    predictive_entropy,
)
from domain.prediction import FoldProbabilities
from training.evaluation import image_dice, named_dice


def of_label_maps(*label_maps: list[list[int]], n_classes: int = 2) -> FoldProbabilities:
    """Folds that are certain of these label maps."""
    one_hot: FoldProbabilities = np.eye(n_classes, dtype=np.float32)[np.array(label_maps)]
    return one_hot.transpose(0, 3, 1, 2)


def constant(*folds: list[float]) -> FoldProbabilities:
    """Folds with these class probabilities at each of 2 x 3 pixels."""
    array = np.array(folds, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    return np.broadcast_to(array, (*array.shape[:2], 2, 3)).copy()


@st.composite
def fold_probabilities(draw: st.DrawFn) -> FoldProbabilities:
    shape = tuple(draw(st.integers(low, high)) for low, high in ((1, 4), (2, 4), (1, 5), (1, 5)))
    weights = draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=16)))
    weights = weights + np.float32(1e-3)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize(
    ("folds", "n_classes", "dice"),
    [
        ([[[1, 1, 0, 0]], [[1, 1, 0, 0]]], 2, 1.0),  # agree
        ([[[1, 1, 0, 0]], [[0, 0, 1, 1]]], 2, 0.0),  # disjoint
        ([[[1, 1, 0, 0]], [[0, 1, 1, 0]]], 2, 0.5),  # 2 * 1 / (2 + 2)
        ([[[0, 0, 0, 0]], [[0, 0, 0, 0]]], 2, 1.0),  # both empty
        ([[[0, 0, 0, 0]], [[1, 0, 0, 0]]], 2, 0.0),  # one empty
        ([[[1, 1, 0, 0]], [[0, 1, 1, 0]]], 3, 0.5),  # class 2 empty in both: it says nothing
        ([[[1, 1, 2, 0]], [[1, 1, 0, 2]]], 3, 0.5),  # (1 + 0) / 2
        # three pairs: 1, 0.5, 0.5
        ([[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[0, 1, 1, 0]]], 2, 2 / 3),
        # One fold of three sees class 2: in two pairs (1 + 0) / 2, in the third nothing is said.
        ([[[1, 1, 0, 2]], [[1, 1, 0, 0]], [[1, 1, 0, 0]]], 3, 2 / 3),
        # One fold of three sees something at all.
        ([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]], 2, 1 / 3),
    ],
)
def test_pairwise_fold_dice(folds: list[list[list[int]]], n_classes: int, dice: float) -> None:
    probabilities = of_label_maps(*folds, n_classes=n_classes)
    assert pairwise_fold_dice(probabilities) == pytest.approx(dice)
    assert expected_quality([probabilities]) == pairwise_fold_dice(probabilities)


def test_one_fold_falls_back_to_expected_soft_dice() -> None:
    one = constant([0.2, 0.8])
    # 2 * 6 * 0.8 / (6 + 6 * 0.8)
    assert pairwise_fold_dice(one) == pytest.approx(1.6 / 1.8)
    assert pairwise_fold_dice(one) == expected_soft_dice(one)


def test_expected_soft_dice_of_an_absent_class() -> None:
    assert expected_soft_dice(constant([0.9, 0.1])) == pytest.approx(0.9)
    assert expected_soft_dice(constant([1.0, 0.0])) == 1.0


def test_expected_soft_dice_of_a_class_that_may_be_there() -> None:
    """Class 1 on half of the pixels for sure; class 2 nowhere, with a chance of at most 0.25."""
    sure = np.zeros((1, 3, 2, 2), np.float32)
    sure[0, 1, 0], sure[0, 0, 1] = 1.0, 1.0
    assert expected_soft_dice(sure) == 1.0
    sure[0, :, 1, 1] = [0.75, 0.0, 0.25]
    assert expected_soft_dice(sure) == pytest.approx(1 / 1.25)


def test_a_less_sure_map_has_a_lower_expected_dice() -> None:
    dices = [expected_soft_dice(constant([1 - p, p])) for p in (0.55, 0.7, 0.9, 1.0)]
    assert dices == sorted(dices)
    assert dices[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("folds", "nats"),
    [
        ([[0.5, 0.5]], math.log(2)),
        ([[1.0, 0.0]], 0.0),
        ([[1.0, 0.0], [0.0, 1.0]], math.log(2)),  # of the mean, not the mean of entropies
        ([[0.25, 0.75]], -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))),
        ([[0.25] * 4, [0.25] * 4], math.log(4)),
    ],
)
def test_predictive_entropy(folds: list[list[float]], nats: float) -> None:
    entropy = predictive_entropy(constant(*folds))
    assert entropy.shape == (2, 3)
    assert entropy.dtype == np.float32
    np.testing.assert_allclose(entropy, nats, atol=1e-6)
    scaled = predictive_entropy(constant(*folds), normalized=True)
    np.testing.assert_allclose(scaled, nats / math.log(len(folds[0])), atol=1e-6)


@pytest.mark.parametrize(
    ("folds", "nats"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),  # all doubt is in the data
        ([[1.0, 0.0], [0.0, 1.0]], math.log(2)),  # all doubt is between the folds
        ([[0.3, 0.7]], 0.0),  # one fold
        (
            [[1.0, 0.0], [0.5, 0.5]],
            -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) - math.log(2) / 2,
        ),
    ],
)
def test_mutual_information(folds: list[list[float]], nats: float) -> None:
    information = mutual_information(constant(*folds))
    assert information.shape == (2, 3)
    assert information.dtype == np.float32
    np.testing.assert_allclose(information, nats, atol=1e-6)


@given(fold_probabilities())
def test_ranges_and_indifference_to_the_order_of_folds(probabilities: FoldProbabilities) -> None:
    n_folds, n_classes = probabilities.shape[:2]
    dice = pairwise_fold_dice(probabilities)
    entropy = predictive_entropy(probabilities)
    information = mutual_information(probabilities)
    assert 0 <= dice <= 1
    assert 0 <= expected_soft_dice(probabilities) <= 1
    assert 0 <= entropy.min() <= entropy.max() <= math.log(n_classes) + 1e-5
    assert information.min() >= 0
    assert (information <= entropy + 1e-5).all()
    assert information.max() <= math.log(min(n_folds, n_classes)) + 1e-5
    turned = probabilities[::-1]
    assert pairwise_fold_dice(turned) == pytest.approx(dice)
    np.testing.assert_allclose(mutual_information(turned), information, atol=1e-6)


@given(fold_probabilities())
def test_a_class_that_no_fold_expects_changes_nothing(probabilities: FoldProbabilities) -> None:
    debris = np.zeros_like(probabilities[:, :1])
    more = np.concatenate([probabilities, debris], axis=1)
    assert expected_quality([more]) == expected_quality([probabilities])
    assert expected_soft_dice(more) == pytest.approx(expected_soft_dice(probabilities))


@given(
    hnp.arrays(np.uint8, (3, 2, 4), elements={"min_value": 0, "max_value": 3}),
    st.permutations([1, 2, 3]),
)
def test_the_order_of_classes_does_not_matter(maps: npt.NDArray[Any], order: list[int]) -> None:
    turned = np.array([0, *order])[maps]
    before = pairwise_fold_dice(of_label_maps(*maps.tolist(), n_classes=4))
    assert pairwise_fold_dice(of_label_maps(*turned.tolist(), n_classes=4)) == pytest.approx(before)


@given(fold_probabilities())
def test_the_score_is_the_expected_figure_of_the_image(probabilities: FoldProbabilities) -> None:
    """One fold in the place of the truth, with the Dice of every other report."""
    maps = probabilities.argmax(axis=1)
    assume(len(maps) > 1)
    names = [str(k) for k in range(1, probabilities.shape[1])]
    dices = [image_dice(named_dice(a, b, names).values()) for a, b in combinations(maps, 2)]
    assert expected_quality([probabilities]) == pytest.approx(np.mean(dices))


@pytest.mark.parametrize("measure", [pairwise_fold_dice, predictive_entropy, mutual_information])
@pytest.mark.parametrize("shape", [(2, 4, 4), (0, 2, 4, 4), (2, 1, 4, 4)])
def test_other_shapes_are_refused(measure: object, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got the shape"):
        measure(np.zeros(shape, dtype=np.float32))  # type: ignore[operator]
