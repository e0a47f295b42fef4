import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.outlines.drawing import NO_PIXELS, Patch, inside_of, overlap, painted
from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon, Ring

SIZE_HW = (50, 60)

# Irrational offsets: no edge runs through a pixel's centre, where rounding would decide.
steps = st.integers(0, 190)
points_xy = st.tuples(
    steps.map(lambda n: n * 0.25 + np.sqrt(2) / 20), steps.map(lambda n: n * 0.25 + np.sqrt(3) / 30)
)
rings = st.lists(st.lists(points_xy, min_size=0, max_size=8), min_size=0, max_size=9)


def ring_of(points: list[tuple[float, float]]) -> Ring:
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def on_image(patch: Patch) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[patch.within(0, 0)] = patch.pixels
    return mask


@settings(max_examples=40)
@given(rings)
def test_many_rings_have_the_pixels_of_each(points: list[list[tuple[float, float]]]) -> None:
    drawn = [ring_of(ring) for ring in points]
    patches = painted(drawn)
    assert len(patches) == len(drawn)
    for ring, patch in zip(drawn, patches, strict=True):
        np.testing.assert_array_equal(
            on_image(patch), polygon_to_mask(Polygon(ring), SIZE_HW) & (len(ring) >= 3)
        )


@settings(max_examples=40)
@given(rings.filter(lambda found: len(found) > 0))
def test_holes_are_what_lies_in_an_even_number_of_rings(
    points: list[list[tuple[float, float]]],
) -> None:
    exterior, *holes = (ring_of(ring) for ring in points)
    whole = polygon_to_mask(Polygon(exterior, tuple(holes)), SIZE_HW)
    inside = inside_of(painted([exterior, *holes]))
    np.testing.assert_array_equal(on_image(inside), whole)


def test_overlap_is_of_pixels_wherever_the_windows_lie() -> None:
    square = Patch(3, 5, np.ones((4, 4), dtype=np.bool_))
    moved = Patch(5, 7, np.ones((4, 4), dtype=np.bool_))
    assert overlap(square, square) == 1.0
    assert overlap(square, moved) == overlap(moved, square) == pytest.approx(4 / 28)
    assert overlap(square, Patch(30, 5, square.pixels)) == 0.0
    assert overlap(NO_PIXELS, NO_PIXELS) == 0.0


def test_one_huge_ring_and_many_specks() -> None:
    huge = np.array([[0, 0], [4000, 0], [4000, 3000], [0, 3000]], dtype=np.float64)
    speck = np.array([[0, 0], [2, 0], [2, 3], [0, 3]], dtype=np.float64)
    patches = painted([huge, *(speck + np.array([7.0 * k, 11]) for k in range(500))])
    assert patches[0].pixels.all()
    assert patches[0].pixels.shape == (3000, 4000)
    assert [(p.top, p.left) for p in patches[1:]] == [(11, 7 * k) for k in range(500)]
    assert all(p.pixels.shape == (3, 2) and p.pixels.all() for p in patches[1:])
