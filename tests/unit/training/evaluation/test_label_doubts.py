"""Labels broken in known ways are doubted for what is wrong with them."""

from __future__ import annotations

import time

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from domain.doubts import Doubt, DoubtKind
from training.evaluation.label_doubts import (
    MIN_AREA_PX,
    MOST_PX,
    Typical,
    label_doubts,
    typical_objects,
)

HW = (120, 160)
LabelMap = npt.NDArray[np.uint8]


def discs(*placed: tuple[int, int, int, int]) -> LabelMap:
    """(x, y, radius, class) each."""
    drawn = np.zeros(HW, np.uint8)
    for x, y, radius, label in placed:
        cv2.circle(drawn, (x, y), radius, label, -1)
    return drawn


def believed(label_map: LabelMap, sure: float = 0.9, n_classes: int = 3) -> npt.NDArray[np.float32]:
    """Probabilities of a network that is this sure of a label map."""
    one_hot = np.eye(n_classes, dtype=np.float32)[label_map].transpose(2, 0, 1)
    return one_hot * np.float32(sure - (1 - sure) / (n_classes - 1)) + np.float32(
        (1 - sure) / (n_classes - 1)
    )


TRUTH = discs((40, 40, 15, 1), (100, 70, 22, 2))


def kinds(label_map: LabelMap, sure: float = 0.9) -> dict[DoubtKind, Doubt]:
    return {one.kind: one for one in label_doubts(believed(TRUTH, sure), label_map)}


def test_a_right_label_is_not_doubted() -> None:
    assert kinds(TRUTH) == {}


def test_wrong_class() -> None:
    found = kinds(discs((40, 40, 15, 2), (100, 70, 22, 2)))
    doubt = found[DoubtKind.WRONG_CLASS]
    assert (doubt.label, doubt.other) == (2, 1)
    assert doubt.box == (25, 25, 31, 31)
    assert doubt.strength == pytest.approx(0.85, abs=0.01)


def test_missing_object() -> None:
    found = kinds(discs((40, 40, 15, 1)))
    assert set(found) == {DoubtKind.MISSING_OBJECT}
    assert found[DoubtKind.MISSING_OBJECT].label == 2
    assert found[DoubtKind.MISSING_OBJECT].strength == pytest.approx(0.85, abs=0.01)


def test_empty_by_mistake() -> None:
    assert set(kinds(np.zeros(HW, np.uint8))) == {DoubtKind.EMPTY}


def test_shifted_outline() -> None:
    found = kinds(discs((40, 40, 15, 1), (107, 76, 22, 2)))
    assert DoubtKind.SHIFTED in found
    assert found[DoubtKind.SHIFTED].label == 2
    assert found[DoubtKind.SHIFTED].strength > 0.15
    assert DoubtKind.COARSE not in found


def test_coarse_outline() -> None:
    coarse = discs((40, 40, 15, 1))
    corners = [[100, 48], [122, 70], [100, 92], [78, 70]]
    cv2.fillPoly(coarse, [np.array(corners, np.int32)], 2)
    found = kinds(coarse)
    assert found[DoubtKind.COARSE].label == 2
    assert found[DoubtKind.COARSE].strength > found.get(DoubtKind.SHIFTED, _none()).strength


def _none() -> Doubt:
    return Doubt(DoubtKind.SHIFTED, 0.0, 0, 0, (0, 0, 0, 0))


def test_an_unsure_network_doubts_less() -> None:
    wrong = discs((40, 40, 15, 2), (100, 70, 22, 2))
    sure, unsure = (kinds(wrong, p)[DoubtKind.WRONG_CLASS].strength for p in (0.95, 0.5))
    assert sure > unsure


def test_small_objects_where_objects_are_large() -> None:
    empty = np.zeros(HW, np.uint8)
    probabilities = believed(discs((40, 40, 5, 1)))
    (alone,) = label_doubts(probabilities, empty)
    (small,) = label_doubts(probabilities, empty, {1: Typical(800.0, 4.0)})
    assert small.strength == pytest.approx(alone.strength * alone_area() / 800, rel=0.05)


def alone_area() -> float:
    return float(np.count_nonzero(discs((40, 40, 5, 1))))


def test_specks_are_noise() -> None:
    speck = np.zeros(HW, np.uint8)
    speck[:3, :5] = 1
    assert MIN_AREA_PX > 15
    assert label_doubts(believed(speck), np.zeros(HW, np.uint8)) == ()


@pytest.mark.parametrize("hw", [(1, 1), (2, 3), (1, 400)])
def test_tiny_images(hw: tuple[int, int]) -> None:
    label_map = np.ones(hw, np.uint8)
    assert all(
        0 <= one.strength <= 1 for one in label_doubts(believed(np.zeros(hw, np.uint8)), label_map)
    )


def test_at_the_border() -> None:
    whole = np.ones(HW, np.uint8)
    half = whole.copy()
    half[:, :80] = 0
    for one in label_doubts(believed(whole), half):
        assert 0 < one.strength <= 1


def test_thousands_of_specks() -> None:
    checks = np.zeros(HW, np.uint8)
    for y in range(0, 120, 6):
        for x in range(0, 160, 6):
            checks[y : y + 5, x : x + 5] = 1
    assert {d.kind for d in label_doubts(believed(checks), np.zeros(HW, np.uint8))} == {
        DoubtKind.EMPTY
    }


def test_sizes_that_differ() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        label_doubts(believed(TRUTH), TRUTH[1:])


def test_a_ring_that_is_drawn_as_what_it_encloses() -> None:
    ring = discs((80, 60, 40, 1), (80, 60, 30, 2))
    both = np.where(ring > 0, np.uint8(2), np.uint8(0))
    typical = typical_objects([ring], 2)
    found = {one.kind: one for one in label_doubts(believed(ring), both, typical)}
    doubt = found[DoubtKind.WRONG_CLASS]
    assert (doubt.label, doubt.other) == (2, 1)
    assert doubt.strength > 0.7


def test_the_rim_of_an_object_is_no_object_by_itself() -> None:
    smaller = discs((40, 40, 12, 1), (100, 70, 19, 2))
    found = label_doubts(believed(TRUTH), smaller, typical_objects([TRUTH], 2))
    assert DoubtKind.MISSING_OBJECT not in {one.kind for one in found}


def test_typical_objects_are_medians() -> None:
    found = typical_objects([discs((40, 40, 10, 1), (100, 70, 20, 1)), discs((60, 60, 15, 1))], 2)
    assert set(found) == {1}
    assert found[1].area_px == pytest.approx(np.pi * 15**2, rel=0.05)
    assert found[1].depth_px == pytest.approx(15, abs=1.5)


def test_a_large_image_is_looked_at_at_a_smaller_size() -> None:
    truth = np.kron(TRUTH, np.ones((8, 8), np.uint8))
    assert truth.size > 4 * MOST_PX
    wrong = np.where(truth == 1, np.uint8(2), truth)
    typical = typical_objects([truth], 2)
    assert typical[1].area_px == pytest.approx(np.count_nonzero(truth == 1), rel=0.05)
    found = {one.kind: one for one in label_doubts(believed(truth), wrong, typical)}
    box = np.array(found[DoubtKind.WRONG_CLASS].box)
    assert np.abs(box - np.array([25, 25, 31, 31]) * 8).max() <= 20


def test_a_square_has_few_corners_and_is_not_coarse() -> None:
    square = np.zeros(HW, np.uint8)
    square[30:80, 40:90] = 1
    assert label_doubts(believed(square), square) == ()


def test_of_many_classes_only_those_that_meet_are_looked_at() -> None:
    """Every pair of 255 took 140 s for an image with one object."""
    truth = np.zeros((256, 256), np.uint8)
    cv2.circle(truth, (100, 100), 40, 255, -1)
    seen = np.where(truth > 0, 7, 0)
    started = time.process_time()
    found = label_doubts(believed(seen, n_classes=256), truth)
    assert time.process_time() - started < 3.0
    (doubt,) = (one for one in found if one.kind is DoubtKind.WRONG_CLASS)
    assert (doubt.label, doubt.other) == (255, 7)


def test_nothing_is_doubted_where_nobody_has_labelled() -> None:
    label_map = TRUTH.copy()
    label_map[30:, 70:] = 3  # over the object of class 2, which the network sees
    assert kinds(label_map) == {}
    drawn_only = np.full(HW, 3, np.uint8)
    drawn_only[TRUTH == 1] = 1
    assert kinds(drawn_only) == {}
    # What is known to be background is doubted as ever.
    drawn_only[40:110, 70:130] = 0
    assert kinds(drawn_only).keys() == {DoubtKind.MISSING_OBJECT}


def test_ignored_pixels_are_no_object() -> None:
    label_map = np.zeros(HW, np.uint8)
    label_map[:10] = 3
    assert kinds(label_map).keys() == {DoubtKind.EMPTY}
    assert typical_objects([label_map], 2) == {}


def test_a_scribble_is_not_called_coarse_or_moved() -> None:
    """Its outline is nobody's outline, and round it nothing is known."""
    label_map = np.full(HW, 3, np.uint8)
    cv2.line(label_map, (30, 40), (50, 42), 1, 3)
    cv2.line(label_map, (90, 60), (112, 80), 2, 3)
    cv2.line(label_map, (5, 100), (60, 110), 0, 3)
    assert kinds(label_map) == {}
