import itertools
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from converters.label_studio.regions import READERS, RegionError
from converters.label_studio.regions.bezier import flatten
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon
from tests.unit.converters.label_studio.regions.reading import centres, painted, where
from tests.unit.converters.shapes import sizes

coordinate = st.floats(-20, 120, width=32)
points = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=7)


def vertices(*xy: tuple[float, float], linked: bool = True) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"x": x, "y": y, "id": f"v{i}"} for i, (x, y) in enumerate(xy)]
    if linked:
        for before, row in itertools.pairwise(rows):
            row["prevPointId"] = before["id"]
    return rows


@given(points, st.floats(0.2, 12), sizes)
def test_an_open_vector_is_a_line_of_its_width(
    xy: list[tuple[float, float]], width: float, size_hw: tuple[int, int]
) -> None:
    value = {"vertices": vertices(*xy), "closed": False}
    mask = painted("vector", value, where(size_hw, line_width_px=width))
    px, py = centres(size_hw)
    pixels = np.array(xy) / 100 * (size_hw[1], size_hw[0])
    distance = shapely.distance(shapely.LineString(pixels), shapely.points(px, py))
    gap = np.asarray(width / 2 - distance)
    clear = np.abs(gap) > 1e-4
    np.testing.assert_array_equal(mask[clear], gap[clear] > 0)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=7), sizes, st.booleans())
def test_a_closed_vector_is_an_area(
    xy: list[tuple[float, float]], size_hw: tuple[int, int], linked: bool
) -> None:
    value = {"vertices": vertices(*xy, linked=linked), "closed": True}
    ring = np.round(np.array(xy, dtype=np.float64) / 100 * (size_hw[1], size_hw[0]), 6)
    expected = polygon_to_mask(Polygon(ring), size_hw)
    np.testing.assert_array_equal(painted("vector", value, where(size_hw)), expected)


def test_links_decide_the_order_of_a_ring() -> None:
    square = vertices((0, 0), (100, 0), (100, 100), (0, 100))
    square[0]["prevPointId"] = "v3"
    shuffled = [square[i] for i in (2, 0, 3, 1)]
    value = {"vertices": shuffled, "closed": True}
    assert painted("vector", value, where((6, 9))).all()


def test_branches() -> None:
    tree = vertices((50, 0), (50, 100), (0, 50), (100, 50), linked=False)
    tree[1]["prevPointId"] = "v0"
    tree[3]["prevPointId"] = "v2"
    mask = painted("vector", {"vertices": tree}, where((9, 9), line_width_px=1))
    expected = np.zeros((9, 9), dtype=bool)
    expected[4, :] = expected[:, 4] = True
    np.testing.assert_array_equal(mask, expected)


def test_bezier_circle() -> None:
    # Four cubics with handles of 0.5523 radii are a circle to within 0.03 % of the radius.
    k = 0.5522847498 * 40
    value = {
        "closed": True,
        "vertices": [
            {
                "x": 50 + 40 * c,
                "y": 50 + 40 * s,
                "id": str(i),
                "prevPointId": str((i - 1) % 4),
                "isBezier": True,
                "controlPoint1": {"x": 50 + 40 * c + k * s, "y": 50 + 40 * s - k * c},
                "controlPoint2": {"x": 50 + 40 * c - k * s, "y": 50 + 40 * s + k * c},
            }
            for i, (c, s) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)])
        ],
    }
    mask = painted("vector", value, where((200, 200)))
    px, py = centres((200, 200))
    distance = np.hypot(px - 100, py - 100)
    clear = np.abs(distance - 80) > 0.05
    np.testing.assert_array_equal(mask[clear], distance[clear] < 80)


def test_a_curve_with_one_handle_is_drawn_as_the_editor_does() -> None:
    # From has no control point: the cubic's first one lies at 30 % of the chord.
    rows = vertices((0, 50), (100, 50))
    rows[1] |= {"isBezier": True, "controlPoint1": {"x": 50, "y": 0}}
    drawing = READERS["vector"]({"vertices": rows}, where((100, 100)))
    (line,) = drawing.outline
    t = 0.5
    middle = 3 * t * (1 - t) ** 2 * np.array([30, 50]) + 3 * t**2 * (1 - t) * np.array([50, 0])
    middle += (1 - t) ** 3 * np.array([0, 50]) + t**3 * np.array([100, 50])
    assert shapely.distance(shapely.LineString(line), shapely.Point(middle)) < 0.01


@given(st.lists(st.floats(-100, 200), min_size=8, max_size=8), st.floats(0, 1))
def test_flattening_stays_within_a_hundredth_of_a_pixel(xy: list[float], t: float) -> None:
    p = np.array(xy).reshape(4, 2)
    line = shapely.LineString(flatten(*p))
    s = 1 - t
    on_curve = s**3 * p[0] + 3 * s**2 * t * p[1] + 3 * s * t**2 * p[2] + t**3 * p[3]
    assert shapely.distance(line, shapely.Point(on_curve)) <= 0.0101


@pytest.mark.parametrize(
    "found", [None, {}, [1], [{"x": 1}], [{"x": 1, "y": "2"}], [{"x": 1, "y": float("nan")}]]
)
def test_refusals(found: Any) -> None:
    with pytest.raises(RegionError):
        READERS["vector"]({"vertices": found}, where((4, 4)))


def test_control_points_of_a_wrong_type() -> None:
    rows = vertices((0, 50), (100, 50))
    rows[1] |= {"isBezier": True, "controlPoint1": [1, 2]}
    with pytest.raises(RegionError, match="controlPoint1"):
        READERS["vector"]({"vertices": rows}, where((4, 4)))
