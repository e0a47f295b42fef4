"""What a person made of a prediction, region by region."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.label_studio.corrections import (
    MOST_POINTS,
    Change,
    RegionChange,
    changes_between,
    n_shared,
)

SQUARE = [[10.0, 10.0], [20.0, 10.0], [20.0, 20.0], [10.0, 20.0]]


def polygon(
    region_id: str = "a", points: list[list[float]] | None = None, label: str = "wall"
) -> dict[str, Any]:
    return {
        "id": region_id,
        "type": "polygonlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": 200,
        "original_height": 100,
        "value": {"points": points or SQUARE, "polygonlabels": [label], "closed": True},
    }


def rectangle(region_id: str, width: float) -> dict[str, Any]:
    value = {"x": 1.0, "y": 2.0, "width": width, "height": 4.0, "rotation": 0}
    return {
        **polygon(region_id),
        "type": "rectanglelabels",
        "value": {**value, "rectanglelabels": ["wall"]},
    }


def test_left_as_it_was() -> None:
    assert changes_between([polygon()], [copy.deepcopy(polygon())]) == [
        RegionChange(Change.KEPT, "wall")
    ]


def test_what_label_studio_adds_on_submit_is_no_change() -> None:
    submitted = {**polygon(), "origin": "prediction", "score": 0.7, "meta": {"text": ["x"]}}
    assert changes_between([polygon()], [submitted])[0].change is Change.KEPT


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # one corner moved
        ([[10.0, 10.0], [20.0, 10.0], [25.0, 22.0], [10.0, 20.0]], (1, 0, 0)),
        # one point added between two
        ([[10.0, 10.0], [15.0, 8.0], [20.0, 10.0], [20.0, 20.0], [10.0, 20.0]], (0, 1, 0)),
        # one taken away
        ([[10.0, 10.0], [20.0, 10.0], [10.0, 20.0]], (0, 0, 1)),
        # the whole region dragged
        ([[11.0, 12.0], [21.0, 12.0], [21.0, 22.0], [11.0, 22.0]], (1, 0, 0)),
        # scaled: every corner but the first
        ([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]], (3, 0, 0)),
    ],
)
def test_points(points: list[list[float]], expected: tuple[int, int, int]) -> None:
    (found,) = changes_between([polygon()], [polygon(points=points)])
    assert found.change is Change.EDITED
    assert (found.n_moved, found.n_added, found.n_removed) == expected


def test_the_last_bit_of_a_number_is_no_move() -> None:
    near = [[float(np.nextafter(x, 100)), float(np.nextafter(y, 0))] for x, y in SQUARE]
    near[1][0] = 21.0
    (found,) = changes_between([polygon()], [polygon(points=near)])
    assert found.n_moved == 1


def test_another_class() -> None:
    (found,) = changes_between([polygon()], [polygon(label="lumen")])
    assert found == RegionChange(Change.EDITED, "lumen", is_relabelled=True)


def test_removed_and_drawn() -> None:
    found = changes_between([polygon("a")], [polygon("b", label="lumen")])
    assert found == [
        RegionChange(Change.DRAWN, "lumen", n_added=4),
        RegionChange(Change.REMOVED, "wall"),
    ]


def test_a_shape_without_points_is_one_change() -> None:
    (found,) = changes_between([rectangle("r", 3.0)], [rectangle("r", 5.0)])
    assert (found.change, found.n_moved) == (Change.EDITED, 1)
    (drawn,) = changes_between([], [rectangle("r", 5.0)])
    assert (drawn.change, drawn.n_added) == (Change.DRAWN, 1)


def test_a_label_in_an_entry_of_its_own() -> None:
    shape = {**polygon(), "type": "polygon", "value": {"points": SQUARE, "closed": True}}
    label = {**shape, "type": "labels", "value": {**shape["value"], "labels": ["lumen"]}}
    (found,) = changes_between([polygon()], [shape, label])
    assert found == RegionChange(Change.EDITED, "lumen", is_relabelled=True)


def test_both_empty_and_emptied() -> None:
    assert changes_between([], []) == []
    assert changes_between([polygon()], []) == [RegionChange(Change.REMOVED, "wall")]


@pytest.mark.parametrize(
    "broken",
    [
        {"id": "a", "type": "choices", "value": {"choices": ["x"]}},
        {"id": None, "type": "polygonlabels", "value": {"points": SQUARE}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
        {**polygon("z"), "value": {"points": [["x", 1]], "polygonlabels": ["wall"]}},
        {**polygon("z"), "value": None},
    ],
)
def test_what_draws_nothing_or_is_broken_counts_nowhere(broken: dict[str, Any]) -> None:
    assert changes_between([broken], [broken]) == []
    assert changes_between([polygon()], [polygon(), broken]) == [RegionChange(Change.KEPT, "wall")]


def test_an_id_twice_counts_once() -> None:
    assert len(changes_between([polygon()], [polygon(), polygon()])) == 1
    assert n_shared([polygon(), polygon("b")], [polygon(), polygon()]) == 1


def test_very_long_outlines() -> None:
    long = [[i * 1e-3 % 100, i * 7e-3 % 100] for i in range(MOST_POINTS + 10)]
    moved = [list(p) for p in long]
    moved[5] = [99.0, 99.0]
    (found,) = changes_between([polygon(points=long)], [polygon(points=[*moved, [1.0, 1.0]])])
    assert (found.n_moved, found.n_added, found.n_removed) == (1, 1, 0)


POINTS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda p: [float(p[0]), float(p[1])]),
    min_size=3,
    max_size=12,
)


@given(before=POINTS, after=POINTS)
def test_counts_add_up(before: list[list[float]], after: list[list[float]]) -> None:
    (found,) = changes_between([polygon(points=before)], [polygon(points=after)])
    assert found.n_added - found.n_removed == len(after) - len(before)
    assert found.n_moved + found.n_added <= max(len(after), 1)
    assert (found.change is Change.KEPT) == (before == after)


@pytest.mark.parametrize("number", [10**400, 1e999, float("nan"), -1e308])
def test_numbers_that_are_no_place_count_nowhere(number: float) -> None:
    odd = polygon("b", points=[[number, 1], [2, 3], [4, 5]])
    assert changes_between([odd], [odd]) == []
