import time

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from converters.painting import rasterize
from converters.painting.rasterize import (
    covers_a_pixel,
    polygon_to_mask,
    polygons_to_label_map,
    shape_to_mask,
)
from domain.geometry import PixelMask, Polygon, Ring
from tests.unit.converters.shapes import polygons, sizes

TIE_PX = 1e-9


def square(left: float, top: float, right: float, bottom: float) -> Ring:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def even_odd_by_shapely(
    polygon: Polygon, size_hw: tuple[int, int]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(inside, tied) per pixel centre; inside = a ray from it meets the edges an odd number of
    times, tied = it lies on an edge."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    lines = shapely.union_all([shapely.LinearRing(ring) for ring in polygon.rings])
    tied = shapely.dwithin(lines, shapely.points(x, y), TIE_PX)
    crossings = np.zeros(size_hw, dtype=np.int64)
    for ring in polygon.rings:
        for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            edge = shapely.LineString([a, b])
            # A ray to the left whose other end is far outside; slanted, so it meets no vertex.
            ray = shapely.linestrings(
                np.stack([np.stack([x, y], -1), np.stack([x - 1e3, y + 0.7361], -1)], -2)
            )
            crossings += shapely.intersects(ray, edge)
    return crossings % 2 == 1, tied


@given(polygons(), sizes)
def test_even_odd_over_any_rings_agrees_with_shapely(
    polygon: Polygon, size_hw: tuple[int, int]
) -> None:
    expected, tied = even_odd_by_shapely(polygon, size_hw)
    mask = polygon_to_mask(polygon, size_hw)
    assert mask.shape == size_hw
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask[~tied], expected[~tied])


@given(
    st.lists(st.floats(0.25, 1, width=32), min_size=3, max_size=40),
    st.floats(-5, 45, width=32),
    st.floats(-5, 35, width=32),
)
def test_star_shapes_agree_with_contains(radii: list[float], cx: float, cy: float) -> None:
    size_hw = (30, 40)
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    unit = np.column_stack([np.cos(angles + 0.1), np.sin(angles + 0.1)])
    centre = np.array([cx, cy])
    outer = centre + 18 * np.array(radii)[:, np.newaxis] * unit
    polygon = Polygon(outer, (centre + (outer - centre) * 0.4,))
    shape = shapely.Polygon(polygon.exterior, polygon.holes)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    tied = shapely.dwithin(shape.boundary, shapely.points(x, y), TIE_PX)
    mask = polygon_to_mask(polygon, size_hw)
    np.testing.assert_array_equal(mask[~tied], shapely.contains_xy(shape, x, y)[~tied])


@pytest.mark.parametrize(
    ("ring", "rows", "columns"),
    [
        (square(1, 1, 3, 3), slice(1, 3), slice(1, 3)),  # along pixel edges
        (square(1.5, 1.5, 3.5, 3.5), slice(1, 3), slice(1, 3)),  # on centres: half-open
        (square(1.6, 1.6, 3.4, 3.4), slice(2, 3), slice(2, 3)),  # just inside the centres
        (square(-5, -5, 99, 99), slice(0, 6), slice(0, 8)),  # covers the image
        (square(6, 4, 99, 99), slice(4, 6), slice(6, 8)),  # leaves it
        (square(-9, 1, -2, 3), slice(0, 0), slice(0, 0)),  # beside it
        (square(9, 1, 12, 3), slice(0, 0), slice(0, 0)),  # beside it on the right
    ],
)
def test_squares(ring: Ring, rows: slice, columns: slice) -> None:
    expected = np.zeros((6, 8), dtype=bool)
    expected[rows, columns] = True
    np.testing.assert_array_equal(polygon_to_mask(Polygon(ring), (6, 8)), expected)
    np.testing.assert_array_equal(polygon_to_mask(Polygon(ring[::-1]), (6, 8)), expected)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=3),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_neighbours_share_no_pixel_and_leave_no_gap(
    corners: list[tuple[int, int]], middle: tuple[int, int]
) -> None:
    # A triangle fanned at a half-integer point: every pixel once, ties included.
    triangle = np.array(corners, dtype=np.float64) / 2
    point = np.array(middle, dtype=np.float64) / 2
    whole = polygon_to_mask(Polygon(triangle), (10, 10))
    parts = [
        polygon_to_mask(Polygon(np.stack([triangle[i], triangle[(i + 1) % 3], point])), (10, 10))
        for i in range(3)
    ]
    np.testing.assert_array_equal(parts[0] ^ parts[1] ^ parts[2], whole)


def test_hole_and_keyhole_are_open() -> None:
    outer, inner = square(1, 1, 9, 9), square(3, 3, 6, 6)
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    with_hole = polygon_to_mask(Polygon(outer, (inner,)), (10, 10))
    assert not with_hole[3:6, 3:6].any()
    assert with_hole.sum() == 64 - 9
    np.testing.assert_array_equal(polygon_to_mask(Polygon(keyhole), (10, 10)), with_hole)


def test_later_paints_over_earlier() -> None:
    big, small = Polygon(square(0, 0, 4, 4)), Polygon(square(1, 1, 2, 2))
    assert polygons_to_label_map([(1, big), (2, small)], (4, 4)).tolist() == [
        [1, 1, 1, 1],
        [1, 2, 1, 1],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
    ]
    assert (polygons_to_label_map([(2, small), (1, big)], (4, 4)) == 1).all()
    assert polygons_to_label_map([], (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_pixel_masks_are_painted_and_cut_to_the_image() -> None:
    mask = PixelMask(1, 2, np.array([[True, False, True], [True, True, True]]))
    assert polygons_to_label_map([(7, mask)], (2, 4)).tolist() == [[0, 0, 0, 0], [0, 0, 7, 0]]
    assert shape_to_mask(mask, (2, 4)).sum() == 1
    assert covers_a_pixel(mask, (2, 4))
    assert not covers_a_pixel(mask, (1, 4))


@given(polygons(), sizes)
def test_covers_a_pixel_is_said_of_masks_that_are_not_empty(
    polygon: Polygon, size_hw: tuple[int, int]
) -> None:
    assert covers_a_pixel(polygon, size_hw) == polygon_to_mask(polygon, size_hw).any()


def test_batches_of_edges_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    polygon = Polygon(rng.uniform(-5, 65, (400, 2)))
    whole = polygon_to_mask(polygon, (60, 60))
    monkeypatch.setattr(rasterize, "_CROSSINGS_AT_ONCE", 7)
    np.testing.assert_array_equal(polygon_to_mask(polygon, (60, 60)), whole)


@pytest.mark.parametrize("n_points", [0, 1, 2])
def test_too_few_points_hold_nothing(n_points: int) -> None:
    assert not polygon_to_mask(Polygon(square(0, 0, 4, 4)[:n_points]), (4, 4)).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_must_be_finite(bad: float) -> None:
    ring = square(0, 0, 4, 4)
    ring[1, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        polygon_to_mask(Polygon(ring), (4, 4))


@pytest.mark.parametrize("class_index", [0, -1, 256])
def test_class_integer_out_of_range(class_index: int) -> None:
    with pytest.raises(ValueError, match=f"got {class_index}"):
        polygons_to_label_map([(class_index, Polygon(square(0, 0, 4, 4)))], (4, 4))


def test_a_hundred_tasks_take_well_under_a_second() -> None:
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shapes = [(c, Polygon(np.array([331.0, 232.0]) + r * unit)) for c, r in ((1, 200), (2, 120))]
    started = time.perf_counter()
    for _ in range(100):
        label_map = polygons_to_label_map(shapes, (464, 662))
    # 0.15 s on one core of a small machine; the bound only catches a lost vectorization.
    assert time.perf_counter() - started < 3
    assert abs(int((label_map == 2).sum()) - np.pi * 120**2) < 200
