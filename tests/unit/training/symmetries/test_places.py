from __future__ import annotations

import numpy as np
import pytest

from training.symmetries.places import (
    MIN_DISTANCE,
    Order,
    apart,
    order_of,
    pair_order,
    places_of,
)


def _label_map() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 5:15] = 1
    labels[10:20, 40:50] = 2
    return labels


def test_a_place_is_measured_from_the_middle() -> None:
    places = places_of(_label_map())
    assert places[1].centre == pytest.approx((14.5 - 19.5, 9.5 - 29.5))
    assert places[1].spread == pytest.approx((10 / 12**0.5,) * 2)
    assert apart(places[1], places[2], 1) == pytest.approx(-35 / (10 / 12**0.5))
    assert apart(places[1], places[2], 0) == 0.0


def test_one_pixel_has_a_place() -> None:
    labels = np.zeros((1, 1), np.uint8)
    assert places_of(labels) == {}
    labels[0, 0] = 7
    assert places_of(labels)[7].centre == (0.0, 0.0)
    assert places_of(labels)[7].uprightness == 0.0


@pytest.mark.parametrize(
    ("n_agree", "n_groups", "is_sure", "may_be"),
    [
        (7, 7, False, True),
        (8, 8, True, False),
        (13, 14, True, False),
        (12, 13, True, False),
        (9, 10, False, False),
        (36, 40, True, False),
        (35, 40, False, False),
        (1, 1, False, True),
    ],
)
def test_how_many_groups_make_it_sure(
    n_agree: int, n_groups: int, is_sure: bool, may_be: bool
) -> None:
    order = Order(1, n_groups, n_agree, 3.0)
    assert (order.is_sure(MIN_DISTANCE), order.may_be(MIN_DISTANCE)) == (is_sure, may_be)
    assert not Order(1, n_groups, n_agree, 0.5).is_sure(MIN_DISTANCE)


def test_a_group_speaks_once() -> None:
    """Forty frames of one video are one witness."""
    order = order_of([("video", 2.0)] * 40 + [("other", -1.0)])
    assert order is not None
    assert (order.n_groups, order.n_agree) == (2, 1)


def test_concentric_classes_have_no_side() -> None:
    cases = []
    for i in range(12):
        labels = np.zeros((50, 50), np.uint8)
        labels[10:40, 10:40] = 1
        labels[20:31, 20:32] = 2  # half a pixel to the right, in every image
        cases.append((f"g{i}", places_of(labels)))
    order = pair_order(cases, 1, 2, 1)
    assert order is not None
    assert order.n_agree == 12
    assert not order.is_sure(MIN_DISTANCE)


def test_nothing_measured_is_no_order() -> None:
    assert order_of([]) is None
    assert order_of([("g", 0.0)]) is None
    assert pair_order([("g", {})], 1, 2, 0) is None
