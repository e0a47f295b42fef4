"""Polygons are cut at the border; no corner inside moves, no pixel inside changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.outlines.border import cut_at_border
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon

SIZE_HW = (30, 40)


def _polygon(*points: tuple[float, float]) -> Polygon:
    return Polygon(np.array(points, dtype=np.float64))


def test_what_lies_inside_is_the_very_same() -> None:
    polygon = _polygon((0, 0), (40, 0), (40, 30), (0, 30))
    assert cut_at_border(polygon, SIZE_HW) is polygon


def test_corners_inside_stay_and_the_shape_ends_at_the_border() -> None:
    polygon = _polygon((-20, 10), (20, -20), (20, 40))
    cut = cut_at_border(polygon, SIZE_HW)
    assert cut is not None
    assert cut.exterior.min() >= 0
    assert (cut.exterior.max(axis=0) <= [40, 30]).all()
    whole = polygon_to_mask(polygon, SIZE_HW)
    assert (polygon_to_mask(cut, SIZE_HW) == whole).all()
    # Corners moved to the border would have made another slope.
    assert whole[2, 1]
    assert not polygon_to_mask(_polygon((0, 10), (20, 0), (20, 30)), SIZE_HW)[2, 1]
    inside = _polygon((5, 5), (60, 5), (5, 25))
    kept = cut_at_border(inside, SIZE_HW)
    assert kept is not None
    assert {(5.0, 5.0), (5.0, 25.0)} <= set(map(tuple, kept.exterior.tolist()))


@pytest.mark.parametrize(
    "points",
    [
        [(-9, -9), (-1, -9), (-1, -1)],
        [(41, 3), (60, 3), (60, 9)],
        [(-5, 5), (0, 5), (0, 9), (-5, 9)],  # touches the border from outside
        [(10, 31), (20, 31), (20, 50)],
    ],
)
def test_outside_is_nothing(points: list[tuple[float, float]]) -> None:
    assert cut_at_border(_polygon(*points), SIZE_HW) is None


def test_a_hole_is_cut_too() -> None:
    hole = np.array([(30.0, 10.0), (50.0, 10.0), (50.0, 20.0), (30.0, 20.0)])
    outer = np.array([(20.0, 5.0), (60.0, 5.0), (60.0, 25.0), (20.0, 25.0)])
    polygon = Polygon(outer, (hole,))
    cut = cut_at_border(polygon, SIZE_HW)
    assert cut is not None
    assert (polygon_to_mask(cut, SIZE_HW) == polygon_to_mask(polygon, SIZE_HW)).all()
    assert polygon_to_mask(cut, SIZE_HW).sum() == 20 * 20 - 10 * 10


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-60, 100), st.integers(-60, 100)), min_size=3, max_size=9, unique=True
    )
)
def test_any_ring_keeps_its_pixels(points: list[tuple[int, int]]) -> None:
    """Stars, crossings, rings around the image: what is inside is what was."""
    # Off the grid of pixel centres: an edge through a centre may round either way.
    ring = np.array(points, dtype=np.float64) + np.array([0.137, 0.291])
    whole = polygon_to_mask(Polygon(ring), SIZE_HW)
    cut = cut_at_border(Polygon(ring), SIZE_HW)
    found = np.zeros(SIZE_HW, bool) if cut is None else polygon_to_mask(cut, SIZE_HW)
    assert (whole != found).sum() <= 1
