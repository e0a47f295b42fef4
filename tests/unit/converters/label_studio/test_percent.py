import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from converters.label_studio.percent import (
    lengths_to_pixels,
    percent_to_pixels,
    pixels_to_percent,
    point_to_pixels,
)


def test_percent_of_the_sides() -> None:
    points = np.array([[0, 0], [50, 50], [100, 25]], dtype=np.float64)
    assert percent_to_pixels(points, (480, 640)).tolist() == [[0, 0], [320, 240], [640, 120]]


def test_drawn_points_stay_beyond_the_image_and_written_ones_are_clipped() -> None:
    points = np.array([[-5, 101], [100.5, 50]], dtype=np.float64)
    assert percent_to_pixels(points, (10, 20)).tolist() == [[-1, 10.1], [20.1, 5]]
    beyond = np.array([[-1, 11], [21, 5]], dtype=np.float64)
    assert pixels_to_percent(beyond, (10, 20)).tolist() == [[0, 100], [100, 50]]


@given(st.integers(1, 40_000), st.integers(1, 40_000), st.floats(0, 1), st.integers(0, 80_000))
def test_pixels_come_back_as_the_very_same_numbers(
    height: int, width: int, where: float, halves: int
) -> None:
    point = np.array([[min(halves / 2, width), np.round(where * height, 6)]])
    back = percent_to_pixels(pixels_to_percent(point, (height, width)), (height, width))
    assert back.tolist() == point.tolist()


def test_lengths_follow_their_own_side_and_are_not_clipped() -> None:
    assert lengths_to_pixels(50, 50, (4, 8)) == (4.0, 2.0)
    assert point_to_pixels(-25, 150, (4, 8)) == (-2.0, 6.0)
