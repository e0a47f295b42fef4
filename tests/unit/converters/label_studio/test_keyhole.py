import time

import numpy as np
import pytest
from hypothesis import given

from converters.label_studio.keyhole import keyhole_ring, rings_of, signed_area
from converters.outlines.vectorize import vectorize
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import LabelMap, Polygon, Ring
from tests.unit.converters.shapes import label_maps, size_of

OUTER = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], dtype=np.float64)
INNER = np.array([[3, 3], [6, 3], [6, 6], [3, 6]], dtype=np.float64)


@given(label_maps(1))
def test_keyhole_holds_the_same_pixels(label_map: LabelMap) -> None:
    for region in vectorize(label_map, [1]):
        polygon = region.polygons[0]
        ring = keyhole_ring(polygon)
        assert len(ring) == polygon.n_vertices + 2 * len(polygon.holes)
        np.testing.assert_array_equal(
            polygon_to_mask(Polygon(ring), size_of(label_map)),
            polygon_to_mask(polygon, size_of(label_map)),
        )


@pytest.mark.parametrize("outer", [OUTER, OUTER[::-1]])
@pytest.mark.parametrize("inner", [INNER, INNER[::-1]])
def test_holes_are_wound_against_the_exterior(outer: Ring, inner: Ring) -> None:
    # The shoelace sum of a nonzero fill: 100 - 9 only if the hole runs the other way.
    assert abs(signed_area(keyhole_ring(Polygon(outer, (inner,))))) == 91


def test_the_bridge_is_the_shortest() -> None:
    ring = keyhole_ring(Polygon(OUTER, (INNER,))).tolist()
    assert ring[:3] == [[0, 0], [3, 3], [3, 6]]
    assert ring.count([0, 0]) == ring.count([3, 3]) == 2


def test_a_hole_hangs_on_the_nearest_ring() -> None:
    # A row of holes: one bridge from the exterior, then from hole to hole.
    holes = [INNER / 3 + [1 + 2 * i, 4] for i in range(4)]
    outer = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], dtype=np.float64)
    ring = keyhole_ring(Polygon(outer, tuple(holes)))
    lengths = np.hypot(*(ring - np.roll(ring, 1, axis=0)).T)
    bridges = lengths[(lengths > 0.5) & (lengths < 99) & (abs(lengths - 1) > 1e-9)]
    assert sorted(bridges) == pytest.approx([np.hypot(2, 5)] * 2)
    assert abs(signed_area(ring)) == pytest.approx(10_000 - 4)


def test_many_holes_are_joined_in_no_time() -> None:
    outer = np.array([[0, 0], [400, 0], [400, 400], [0, 400]], dtype=np.float64)
    holes = tuple(INNER + 10 * np.array([x, y]) for x in range(20) for y in range(39))
    started = time.monotonic()
    ring = keyhole_ring(Polygon(outer, holes))
    assert time.monotonic() - started < 15
    assert len(ring) == 4 + 6 * len(holes)
    assert abs(signed_area(ring)) == pytest.approx(160_000 - 9 * len(holes))


def test_without_holes_nothing_changes() -> None:
    np.testing.assert_array_equal(keyhole_ring(Polygon(OUTER)), OUTER)


@given(label_maps(1))
def test_rings_come_apart_again(label_map: LabelMap) -> None:
    for region in vectorize(label_map, [1]):
        polygon = region.polygons[0]
        exterior, holes = rings_of(keyhole_ring(polygon))
        again = Polygon(exterior, holes)
        np.testing.assert_array_equal(
            polygon_to_mask(again, size_of(label_map)), polygon_to_mask(polygon, size_of(label_map))
        )
        # Joined once more it is as short; of bridges that are equally long it may take another one.
        joined, before = keyhole_ring(again), keyhole_ring(polygon)
        assert _length(joined) == pytest.approx(_length(before))


def _length(ring: Ring) -> float:
    return float(np.hypot(*(ring - np.roll(ring, 1, axis=0)).T).sum())


@pytest.mark.parametrize("n", [0, 1, 2])
def test_what_is_no_ring_has_no_holes(n: int) -> None:
    exterior, holes = rings_of(OUTER[:n])
    assert exterior.shape == (n, 2) and holes == ()
    plain, none = rings_of(OUTER)
    assert plain.tolist() == OUTER.tolist() and none == ()
