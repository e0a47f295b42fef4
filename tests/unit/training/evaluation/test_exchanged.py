from __future__ import annotations

import numpy as np

from training.evaluation.exchanged import exchanged


def test_exchanged_classes_are_found_and_a_bad_model_is_not() -> None:
    good = np.array([[900, 2, 1], [3, 50, 2], [1, 4, 80]])
    assert exchanged(good) is None
    places, with_it, as_is = exchanged(good[:, [0, 2, 1]]) or ((), 0.0, 0.0)
    assert places == (2, 1) and with_it > 0.9 > 0.1 > as_is
    assert exchanged(np.array([[900, 30, 30], [30, 20, 25], [30, 25, 20]])) is None


def test_a_class_that_is_nowhere_and_one_class_alone_say_nothing() -> None:
    assert exchanged(np.array([[9, 0, 0], [1, 5, 0], [0, 0, 0]])) is None
    assert exchanged(np.array([[9, 1], [1, 5]])) is None
    assert exchanged(np.zeros((3, 3), np.int64)) is None


def test_three_in_a_ring() -> None:
    counts = np.diag([900, 50, 60, 70])[:, [0, 2, 3, 1]]
    places, with_it, as_is = exchanged(counts) or ((), 0.0, 1.0)
    assert places == (3, 1, 2) and (with_it, as_is) == (1.0, 0.0)
