import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.label_studio.regions import READERS, RegionError
from tests.unit.converters.label_studio.regions.reading import centres, painted, where
from tests.unit.converters.shapes import sizes

percent = st.floats(-40, 140, width=32)
radius = st.floats(0.5, 90, width=32)


@given(percent, percent, radius, radius, st.floats(-720, 720, width=32), sizes)
def test_an_ellipse_holds_the_centres_inside(
    x: float, y: float, rx: float, ry: float, rotation: float, size_hw: tuple[int, int]
) -> None:
    value = {"x": x, "y": y, "radiusX": rx, "radiusY": ry, "rotation": rotation}
    mask = painted("ellipse", value, where(size_hw))
    scale_w, scale_h = size_hw[1] / 100, size_hw[0] / 100
    px, py = centres(size_hw)
    turn = np.deg2rad(rotation)
    dx, dy = px - x * scale_w, py - y * scale_h
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / (rx * scale_w)
    across = (-dx * np.sin(turn) + dy * np.cos(turn)) / (ry * scale_h)
    level = along**2 + across**2
    clear = np.abs(level - 1) > 1e-3  # coordinates are read to a millionth of a pixel
    np.testing.assert_array_equal(mask[clear], level[clear] < 1)


def test_a_quarter_turn_in_pixels() -> None:
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 90}
    mask = painted("ellipse", value, where((100, 200)))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (len(rows), len(columns)) == (40, 10)  # radii of 20 and 5 pixels, the longer one upright


def test_a_negative_radius_is_refused() -> None:
    with pytest.raises(RegionError, match="negative"):
        READERS["ellipse"]({"x": 1, "y": 1, "radiusX": -1, "radiusY": 1}, where((4, 4)))


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 300), sizes)
def test_a_keypoint_is_a_disc_of_its_width(
    x: float, y: float, width: float, size_hw: tuple[int, int]
) -> None:
    mask = painted("keypoint", {"x": x, "y": y, "width": width}, where(size_hw))
    px, py = centres(size_hw)
    distance = np.hypot(px - x / 100 * size_hw[1], py - y / 100 * size_hw[0])
    gap = width / 100 * size_hw[1] / 2 - distance
    clear = np.abs(gap) > 1e-4
    np.testing.assert_array_equal(mask[clear], gap[clear] > 0)
