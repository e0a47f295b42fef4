from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.effort import Effort
from active_learning.simulated.corrector import TIMES
from backend.replay.annotator import Annotator
from domain.geometry import LabelMap

SIDE = 160
ANNOTATOR = Annotator(("inner", "outer"))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def disc(x: float = 80, y: float = 80, radius: float = 30, *, value: int = 1) -> LabelMap:
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.where(np.hypot(columns - x, rows - y) < radius, value, 0).astype(np.uint8)


def sure_of(label_map: LabelMap) -> npt.NDArray[np.float32]:
    """Probabilities as networks give them: soft at the border."""
    masks = [(label_map == k).astype(np.float32) for k in range(3)]
    return np.stack([cv2.GaussianBlur(mask, (0, 0), 1.5) for mask in masks])


def corrected(predicted: LabelMap, truth: LabelMap) -> Effort:
    return ANNOTATOR.correct(sure_of(predicted), truth, rng()).corrected


def test_a_good_prediction_is_left_alone() -> None:
    work = ANNOTATOR.correct(sure_of(disc()), disc(), rng())
    assert work.corrected == Effort(n_kept=1)
    assert work.seconds == TIMES.look_s
    assert work.from_scratch.n_drawn == 1
    assert 8 <= work.from_scratch.points_drawn <= 25


def test_nothing_there_and_nothing_predicted() -> None:
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    assert corrected(nothing, nothing) == Effort()
    assert ANNOTATOR.draw(nothing).corrected == Effort()


def test_what_is_missing_is_drawn_and_what_is_no_object_goes() -> None:
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    missing = corrected(nothing, disc())
    assert (missing.n_drawn, missing.n_removed, missing.n_kept) == (1, 0, 0)
    assert missing == ANNOTATOR.draw(disc()).corrected
    assert corrected(disc(), nothing) == Effort(n_removed=1)


def test_one_that_lies_beside_its_object_is_dragged() -> None:
    found = corrected(disc(x=88), disc(x=80))
    assert found == Effort(n_edited=1, points_moved=1)


def test_a_stretch_that_is_wrong_is_drawn_anew_for_less_than_all_of_it() -> None:
    truth = disc(radius=50)
    predicted = truth.copy()
    predicted[:, 105:] = 0  # a side is cut off
    found = corrected(predicted, truth)
    scratch = ANNOTATOR.draw(truth).corrected
    assert found.n_edited == 1 and found.n_drawn == 0
    assert 0 < found.actions < scratch.actions
    assert TIMES.seconds(found) < TIMES.seconds(scratch)


def test_another_class_is_changed_not_drawn() -> None:
    found = corrected(disc(value=2), disc(value=1))
    assert found == Effort(n_edited=1, n_relabelled=1)


def test_a_ring_is_drawn_as_one_outline_around_another() -> None:
    truth = np.maximum(disc(radius=50, value=2), 0)
    truth[disc(radius=30) > 0] = 1
    hollow = np.where(truth == 2, truth, 0).astype(np.uint8)
    ring, with_hole = (ANNOTATOR.draw(one).from_scratch for one in (truth, hollow))
    assert (ring.n_drawn, with_hole.n_drawn) == (2, 1)
    # The inner border is drawn once: as the inner object's, not as a hole's as well.
    assert abs(ring.points_drawn - with_hole.points_drawn) <= 3
    assert corrected(truth, truth) == Effort(n_kept=2)


def ring(inner: float, outer: float) -> LabelMap:
    wall = disc(radius=outer, value=2)
    return np.where(disc(radius=inner) > 0, 1, wall).astype(np.uint8)


def test_a_thin_wall_is_not_left_though_its_outline_is_near() -> None:
    # Both outlines are near by themselves, and the wall is half as wide as it should be.
    truth, thin = ring(36, 42), ring(37.5, 40.5)
    left = corrected(truth, truth)
    assert (left.n_kept, left.actions) == (2, 0)
    mended = corrected(thin, truth)
    assert mended.n_edited + mended.n_drawn >= 1


def test_a_hole_with_nothing_in_it_is_drawn_too() -> None:
    ring = disc(radius=50)
    ring[disc(radius=30) > 0] = 0
    with_hole = ANNOTATOR.draw(ring).from_scratch
    assert with_hole.n_drawn == 1
    assert with_hole.points_drawn > ANNOTATOR.draw(disc(radius=50)).from_scratch.points_drawn


def test_of_noise_everything_goes_at_once() -> None:
    noise = (np.random.default_rng(1).random((SIDE, SIDE)) < 0.05).astype(np.uint8)
    work = ANNOTATOR.correct(
        np.stack([1 - noise, noise, np.zeros_like(noise)]).astype(np.float32), disc(), rng()
    )
    assert work.corrected == work.from_scratch + Effort(n_removed=1)


def test_two_parts_of_one_object() -> None:
    truth = disc(radius=50)
    predicted = truth.copy()
    predicted[:, 78:83] = 0
    found = corrected(predicted, truth)
    assert found.n_removed >= 1  # one of them is no object of its own
    assert found.n_edited + found.n_drawn == 1


def test_the_same_hand_twice() -> None:
    first, second = (
        ANNOTATOR.correct(sure_of(disc(x=95)), disc(), rng()).corrected for _ in range(2)
    )
    assert first == second


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(20, 140),
    y=st.floats(20, 140),
    radius=st.floats(1, 60),
    other=st.floats(1, 60),
    value=st.sampled_from([1, 2]),
)
def test_correcting_never_takes_longer_than_starting_anew(
    x: float, y: float, radius: float, other: float, value: int
) -> None:
    work = ANNOTATOR.correct(sure_of(disc(x, y, radius)), disc(80, 80, other, value=value), rng())
    assert work.seconds <= TIMES.seconds(work.from_scratch + Effort(n_removed=1))
    n_objects = work.corrected.n_kept + work.corrected.n_edited + work.corrected.n_drawn
    assert n_objects == work.from_scratch.n_drawn  # every object is submitted, and nothing else


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (200, 3)])
def test_tiny_images(size_hw: tuple[int, int]) -> None:
    truth = np.ones(size_hw, np.uint8)
    work = ANNOTATOR.correct(
        np.stack([1 - truth, truth, 0 * truth]).astype(np.float32), truth, rng()
    )
    assert work.corrected.n_drawn == 0
