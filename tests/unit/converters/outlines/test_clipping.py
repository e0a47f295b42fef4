"""Cutting at the border moves no corner: every pixel stays as it was."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.outlines.clipping import parts_on_image
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon
from tests.unit.converters.shapes import polygons

SIZE_HW = (17, 23)


def painted(parts: tuple[Polygon, ...]) -> npt.NDArray[Any]:
    mask = np.zeros(SIZE_HW, dtype=bool)
    for part in parts:
        mask ^= polygon_to_mask(part, SIZE_HW)
    return mask


def is_on_image(parts: tuple[Polygon, ...]) -> bool:
    return all(
        ring.min() >= 0 and (ring.max(axis=0) <= SIZE_HW[::-1]).all()
        for part in parts
        for ring in part.rings
    )


@given(polygons(), st.sampled_from([1.0, 3.0, 50.0]))
def test_the_pixels_stay(polygon: Polygon, scale: float) -> None:
    # Off the grid of pixel centres, where rounding would decide.
    rings = [np.round((ring - 10) * scale, 2) + 10.0037 for ring in polygon.rings]
    large = Polygon(rings[0], tuple(rings[1:]))
    parts = parts_on_image(large, SIZE_HW)
    assert is_on_image(parts)
    # An edge that runs through a pixel's centre may fall to either side by rounding.
    differing = np.count_nonzero(painted(parts) != polygon_to_mask(large, SIZE_HW))
    assert differing <= sum(len(ring) for ring in rings) // 3


def test_a_shape_that_comes_back_is_cut_in_two() -> None:
    # A U whose bend lies beyond the right side.
    ring = np.array([[5, 3], [30, 3], [30, 12], [5, 12], [5, 9], [27, 9], [27, 6], [5, 6]], float)
    parts = parts_on_image(Polygon(ring), SIZE_HW)
    assert len(parts) == 2
    assert sorted(part.exterior[:, 1].min() for part in parts) == [3, 9]
    np.testing.assert_array_equal(painted(parts), polygon_to_mask(Polygon(ring), SIZE_HW))


def test_a_keyhole_that_leaves_the_image_keeps_its_hole() -> None:
    outer = [[-9, 2], [40, 2], [40, 15], [-9, 15], [-9, 2]]
    inner = [[-5, 5], [-5, 12], [10, 12], [10, 5], [-5, 5]]
    polygon = Polygon(np.array(outer + inner, dtype=float))
    parts = parts_on_image(polygon, SIZE_HW)
    assert is_on_image(parts)
    mask = painted(parts)
    np.testing.assert_array_equal(mask, polygon_to_mask(polygon, SIZE_HW))
    assert mask[3, 0]
    assert not mask[8, 4]


def test_a_polygon_on_the_image_stays_the_very_same() -> None:
    polygon = Polygon(np.array([[0, 0], [23, 0], [23, 17]], dtype=float))
    assert parts_on_image(polygon, SIZE_HW) == (polygon,)


@pytest.mark.parametrize(
    "ring",
    [
        [[30, 1], [40, 1], [40, 9]],  # beside it
        [[-20, 10], [10, -20], [-20, -20]],  # past a corner
        [[23, 1], [30, 1], [30, 9]],  # touching a side
    ],
)
def test_nothing_is_left_of_what_lies_beyond(ring: list[list[float]]) -> None:
    assert parts_on_image(Polygon(np.array(ring, dtype=float)), SIZE_HW) == ()


def test_huge_coordinates_and_many_points_take_no_time() -> None:
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles)]) * 1e9
    bow_tie = np.array([[-1e9, -1e9], [1e9, 1e9], [1e9, -1e9], [-1e9, 1e9]])
    started = time.monotonic()
    (whole,) = parts_on_image(Polygon(circle), SIZE_HW)
    assert parts_on_image(Polygon(bow_tie), SIZE_HW)
    assert time.monotonic() - started < 5
    assert painted((whole,)).all()
