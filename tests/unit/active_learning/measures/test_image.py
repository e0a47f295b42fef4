import math
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from active_learning.measures import ClassMeasures, ImageMeasures, measure_image
from converters.bookkeeping.documents import from_json, to_json
from domain.prediction import FoldProbabilities
from tests.unit.active_learning.measures.maps import constant, fold_probabilities, of_label_maps
from training.evaluation import image_dice, named_dice


def pairwise(probabilities: FoldProbabilities) -> float | None:
    return measure_image([probabilities]).pairwise_dice


def soft(probabilities: FoldProbabilities) -> float:
    return measure_image([probabilities]).soft_dice


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
    assert pairwise(probabilities) == pytest.approx(dice)


def test_one_fold_has_nobody_to_agree_with() -> None:
    measures = measure_image([constant([0.2, 0.8])])
    assert measures.pairwise_dice is None
    assert measures.classes["1"].pairwise_dice is None
    # 2 * 6 * 0.8 / (6 + 6 * 0.8)
    assert measures.soft_dice == pytest.approx(1.6 / 1.8)


def test_views_stand_in_for_the_folds_of_a_single_network() -> None:
    single = of_label_maps([[1, 1, 0, 0]])
    views = of_label_maps([[1, 1, 0, 0]], [[0, 1, 1, 0]])
    measures = measure_image([single], views=[views])
    assert measures.n_folds == 1
    assert measures.pairwise_dice == measures.classes["1"].pairwise_dice == 0.5
    # Two pixels of four, in each of which one view is certain of the other class: ln 2.
    assert measures.information == measures.known_information == pytest.approx(math.log(2) / 2)
    # What is expected of the prediction comes from the prediction alone.
    assert measures.soft_dice == measure_image([single]).soft_dice == 1.0
    assert measures.entropy == pytest.approx(0.0)


def test_without_views_a_single_network_knows_no_information() -> None:
    assert measure_image([constant([0.2, 0.8])], views=[None]).known_information is None
    assert measure_image([constant([0.2, 0.8], [0.2, 0.8])]).known_information == 0.0


def test_views_of_an_image_are_as_many_blocks_as_its_maps() -> None:
    block = constant([0.2, 0.8])
    with pytest.raises(ValueError, match="shorter"):
        measure_image([block, block], views=[block])


@given(fold_probabilities(), st.integers(1, 5))
def test_views_are_measured_alike_however_they_are_cut(views: FoldProbabilities, at: int) -> None:
    single = views[:1]
    whole = measure_image([single], views=[views])
    at = min(at, views.shape[2])
    parts = [part for part in (slice(0, at), slice(at, None)) if views[:, :, part].size]
    cut = measure_image([single[:, :, p] for p in parts], views=[views[:, :, p] for p in parts])
    assert cut == whole


def test_expected_soft_dice_of_an_absent_class() -> None:
    assert soft(constant([0.9, 0.1])) == pytest.approx(0.9)
    assert soft(constant([1.0, 0.0])) == 1.0


def test_expected_soft_dice_of_a_class_that_may_be_there() -> None:
    """Class 1 on half of the pixels for sure; class 2 nowhere, with a chance of at most 0.25."""
    sure = np.zeros((1, 3, 2, 2), np.float32)
    sure[0, 1, 0], sure[0, 0, 1] = 1.0, 1.0
    assert soft(sure) == 1.0
    sure[0, :, 1, 1] = [0.75, 0.0, 0.25]
    assert soft(sure) == pytest.approx(1 / 1.25)


def test_a_less_sure_map_has_a_lower_expected_dice() -> None:
    dices = [soft(constant([1 - p, p])) for p in (0.55, 0.7, 0.9, 1.0)]
    assert dices == sorted(dices)
    assert dices[-1] == pytest.approx(1.0)


@given(fold_probabilities())
def test_a_class_that_no_fold_expects_changes_nothing(probabilities: FoldProbabilities) -> None:
    debris = np.zeros_like(probabilities[:, :1])
    more = np.concatenate([probabilities, debris], axis=1)
    before, after = measure_image([probabilities]), measure_image([more])
    assert after.pairwise_dice == before.pairwise_dice
    assert after.soft_dice == pytest.approx(before.soft_dice)
    assert after.classes[str(probabilities.shape[1])] == ClassMeasures(0.0, 0.0, None, None)


@given(
    hnp.arrays(np.uint8, (3, 2, 4), elements={"min_value": 0, "max_value": 3}),
    st.permutations([1, 2, 3]),
)
def test_the_order_of_classes_does_not_matter(maps: npt.NDArray[Any], order: list[int]) -> None:
    turned = np.array([0, *order])[maps]
    before = pairwise(of_label_maps(*maps.tolist(), n_classes=4))
    assert pairwise(of_label_maps(*turned.tolist(), n_classes=4)) == pytest.approx(before)


@given(fold_probabilities())
def test_agreement_is_the_expected_figure_of_the_image(probabilities: FoldProbabilities) -> None:
    """One fold in the place of the truth, with the Dice of every other report."""
    maps = probabilities.argmax(axis=1)
    assume(len(maps) > 1)
    names = [str(k) for k in range(1, probabilities.shape[1])]
    dices = [image_dice(named_dice(a, b, names).values()) for a, b in combinations(maps, 2)]
    assert pairwise(probabilities) == pytest.approx(np.mean(dices))


@given(fold_probabilities(), st.data())
def test_measures_are_the_same_however_an_image_is_cut(
    probabilities: FoldProbabilities, data: st.DataObject
) -> None:
    height = probabilities.shape[2]
    cuts = sorted(data.draw(st.sets(st.integers(1, height), max_size=3)) - {height})
    blocks = np.split(probabilities, cuts, axis=2)
    assert measure_image(blocks) == measure_image([probabilities])


@pytest.mark.parametrize("width", [1, 7, 130, 1030])
def test_wide_rows_add_up_alike_too(width: int) -> None:
    """Sums of many numbers depend on their order."""
    weights = np.random.default_rng(width).random((3, 3, 60, width), np.float32) ** 3 + 1e-3
    probabilities = np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
    whole = measure_image([probabilities])
    for step in (1, 7, 59):
        blocks = [probabilities[:, :, i : i + step] for i in range(0, 60, step)]
        assert measure_image(blocks) == whole


@given(fold_probabilities())
def test_ranges(probabilities: FoldProbabilities) -> None:
    measures = measure_image([probabilities])
    assert 0 <= measures.soft_dice <= 1
    assert measures.pairwise_dice is None or 0 <= measures.pairwise_dice <= 1
    turned = measure_image([probabilities[::-1]])
    assert turned.pairwise_dice == pytest.approx(measures.pairwise_dice)
    shares = [one.share for one in measures.classes.values()]
    foreground = probabilities.mean(axis=0).argmax(axis=0) > 0
    assert sum(shares) == pytest.approx(foreground.mean())
    for one in measures.classes.values():
        assert (one.soft_dice is None) == (one.share == 0)


def test_classes_have_their_names_and_others_do_not_count() -> None:
    """Integer 2 stands for a class that is not drawn."""
    probabilities = of_label_maps([[1, 1, 2, 0]], [[1, 0, 0, 2]], n_classes=3)
    measures = measure_image([probabilities], {1: "lumen"})
    assert list(measures.classes) == ["lumen"]
    assert measures.pairwise_dice == pytest.approx(2 / 3)
    lumen = measures.classes["lumen"]
    # The mean is torn at the second pixel: of equals the first, background.
    assert (lumen.share, lumen.highest) == (0.25, 1.0)
    assert lumen.soft_dice == pytest.approx(2 / 2.5)
    assert lumen.pairwise_dice == pytest.approx(2 / 3)


def test_an_absent_class_says_how_near_it_came() -> None:
    one = measure_image([constant([0.7, 0.3])]).classes["1"]
    assert one.highest == pytest.approx(0.3)
    assert (one.share, one.soft_dice, one.pairwise_dice) == (0.0, None, None)


def test_measures_are_a_document() -> None:
    measures = measure_image([constant([0.2, 0.8], [0.6, 0.4])])
    assert from_json(ImageMeasures, to_json(ImageMeasures, measures)) == measures


def test_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        measure_image([])
