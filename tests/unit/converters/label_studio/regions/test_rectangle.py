import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.converters.label_studio.regions.reading import centres, painted, where
from tests.unit.converters.shapes import sizes

percent = st.floats(-40, 140, width=32)
TIE_PX = 1e-4


@given(percent, percent, percent, percent, st.floats(-720, 720, width=32), sizes)
def test_a_turned_rectangle_holds_the_centres_inside(
    x: float, y: float, width: float, height: float, rotation: float, size_hw: tuple[int, int]
) -> None:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    mask = painted("rectangle", value, where(size_hw))
    # Turn the centres back around the corner, in pixels, and look at the upright rectangle.
    scale_w, scale_h = size_hw[1] / 100, size_hw[0] / 100
    px, py = centres(size_hw)
    turn = np.deg2rad(rotation)
    dx, dy = px - x * scale_w, py - y * scale_h
    along = dx * np.cos(turn) + dy * np.sin(turn)
    down = -dx * np.sin(turn) + dy * np.cos(turn)
    far_w, far_h = width * scale_w, height * scale_h
    low_w, high_w = sorted((0.0, far_w))
    low_h, high_h = sorted((0.0, far_h))
    gap = np.minimum.reduce([along - low_w, high_w - along, down - low_h, high_h - down])
    clear = np.abs(gap) > TIE_PX
    np.testing.assert_array_equal(mask[clear], gap[clear] > 0)


def test_rotation_is_clockwise_in_pixels_around_the_corner() -> None:
    # 4 x 2 pixels at (4, 2) in an image twice as wide as high, turned by 90 degrees: the width
    # goes down and the height to the left.
    value = {"x": 50, "y": 50, "width": 50, "height": 50, "rotation": 90}
    mask = painted("rectangle", value, where((4, 8)))
    expected = np.zeros((4, 8), dtype=bool)
    expected[2:4, 2:4] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_full_image_and_one_pixel() -> None:
    full = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}
    assert painted("rectangle", full, where((5, 7))).all()
    one = {"x": 100 * 3 / 7, "y": 100 * 2 / 5, "width": 100 / 7, "height": 100 / 5}
    assert np.argwhere(painted("rectangle", one, where((5, 7)))).tolist() == [[2, 3]]


@pytest.mark.parametrize("n", [2, 3, 7])
def test_touching_rectangles_share_no_pixel(n: int) -> None:
    total = np.zeros((13, 11), dtype=int)
    for i in range(n):
        value = {"x": 100 * i / n, "y": 0, "width": 100 / n, "height": 100, "rotation": 0}
        total += painted("rectangle", value, where((13, 11)))
    assert (total == 1).all()
