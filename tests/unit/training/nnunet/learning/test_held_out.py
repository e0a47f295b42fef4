from __future__ import annotations

import pytest

from training.evaluation import DicePerCase
from training.nnunet.learning.held_out import trend_of


def test_the_trend_is_of_the_same_images_at_each_epoch() -> None:
    """A stray pixel of a class that no image has would come and go in a mean over classes."""
    before: DicePerCase = {f"case {i}": {"lumen": 0.8, "debris": None} for i in range(8)}
    after: DicePerCase = {**before, "case 0": {"lumen": 0.8, "debris": 0.0}}
    assert trend_of(before) == pytest.approx(0.8)
    # One image of eight lost half; the mean over classes would have fallen to 0.4.
    assert trend_of(after) == pytest.approx(0.75)


def test_an_empty_image_left_empty_is_good() -> None:
    assert trend_of({"a": {"lumen": 0.5}, "b": {"lumen": None}}) == pytest.approx(0.75)
    assert trend_of({"a": {"lumen": 0.5}, "b": {"lumen": 0.0}}) == pytest.approx(0.25)


def test_where_nothing_is_and_nothing_was_seen_there_is_no_trend() -> None:
    assert trend_of({}) is None
    assert trend_of({"a": {"lumen": None}, "b": {"lumen": None}}) is None
