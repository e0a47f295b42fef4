from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from training.evaluation.surface import Mask, SurfaceDistances, boundary, surface_distances

masks = hnp.arrays(np.bool_, (7, 9))
sizes = st.floats(0.05, 5.0)


def square(top: int, left: int, side: int, shape: tuple[int, int] = (40, 50)) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def disc(radius: float, centre: tuple[float, float] = (60, 60), side: int = 121) -> Mask:
    y, x = np.mgrid[:side, :side]
    return np.asarray((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2)


def by_hand(a: Mask, b: Mask, spacing: tuple[float, float]) -> SurfaceDistances:
    """Every boundary pixel of the one against every one of the other."""
    table = cdist(np.argwhere(boundary(a)) * spacing, np.argwhere(boundary(b)) * spacing)
    return SurfaceDistances(table.min(axis=1), table.min(axis=0))


def test_boundary_counts_the_edge_of_the_image() -> None:
    assert boundary(np.ones((4, 5), dtype=bool)).sum() == 20 - 2 * 3
    inner = boundary(square(10, 10, 4))
    assert inner.sum() == 12
    # Only a diagonal neighbour is missing: no boundary.
    notched = np.ones((5, 5), dtype=bool)
    notched[0, 0] = False
    assert not boundary(notched)[1, 1]


def test_a_square_moved_sideways() -> None:
    a, b = square(10, 10, 10), square(10, 13, 10)
    found = surface_distances(a, b)
    assert found.hausdorff == found.hausdorff95 == 3.0
    # Distances go along the rows, so only the width of a pixel matters ...
    assert surface_distances(a, b, (99.0, 0.5)).hausdorff95 == 1.5
    # ... and for a square moved down only its height: a swap of the two would show.
    assert surface_distances(a, square(14, 10, 10), (0.25, 99.0)).hausdorff95 == 1.0


def test_concentric_discs_are_their_radii_apart() -> None:
    found = surface_distances(disc(20), disc(30))
    assert found.mean == pytest.approx(10, abs=0.35)
    assert found.hausdorff == pytest.approx(10, abs=1)
    assert found.hausdorff95 == pytest.approx(10, abs=1)


def test_few_far_pixels_move_the_hausdorff_distance_but_not_hd95() -> None:
    a = square(5, 5, 20)
    b = a.copy()
    b[35, 45] = True
    found = surface_distances(a, b)
    assert found.hausdorff == pytest.approx(np.hypot(35 - 24, 45 - 24))
    assert found.hausdorff95 == 0
    assert found.mean == pytest.approx(found.hausdorff / len(found.backward) / 2)


def test_hd95_is_the_larger_direction() -> None:
    # 5 of 100 boundary pixels far away: pooled they are fewer than 5 %, directed they count.
    forward, backward = np.zeros(900), np.zeros(100)
    backward[:10] = 7.0
    found = SurfaceDistances(forward, backward)
    assert found.hausdorff95 == 7.0
    assert np.percentile(np.concatenate((forward, backward)), 95) == 0.0
    assert found.mean == pytest.approx(0.35)


@given(masks, masks, sizes, sizes)
def test_equal_to_all_pairs(a: Mask, b: Mask, height: float, width: float) -> None:
    assume(a.any() and b.any())
    found, expected = surface_distances(a, b, (height, width)), by_hand(a, b, (height, width))
    np.testing.assert_allclose(found.forward, expected.forward, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.backward, expected.backward, rtol=1e-9, atol=1e-12)


@given(masks, masks)
def test_symmetric_and_zero_only_for_equal_outlines(a: Mask, b: Mask) -> None:
    assume(a.any() and b.any())
    one, other = surface_distances(a, b), surface_distances(b, a)
    assert (one.hausdorff, one.hausdorff95) == (other.hausdorff, other.hausdorff95)
    assert one.mean == pytest.approx(other.mean)
    assert (one.hausdorff == 0) == bool((boundary(a) == boundary(b)).all())
    assert 0 <= one.mean <= one.hausdorff + 1e-12
    assert one.hausdorff95 <= one.hausdorff


@given(masks, masks, sizes)
def test_distances_grow_with_the_pixel(a: Mask, b: Mask, size: float) -> None:
    assume(a.any() and b.any())
    plain, scaled = surface_distances(a, b), surface_distances(a, b, (size, size))
    assert scaled.hausdorff95 == pytest.approx(size * plain.hausdorff95)
    assert scaled.mean == pytest.approx(size * plain.mean)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 1.7)])
@pytest.mark.parametrize("seed", range(6))
def test_simpleitk_finds_the_same(seed: int, spacing: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    a = disc(rng.uniform(8, 30), tuple(rng.uniform(45, 75, 2)))
    b = disc(rng.uniform(8, 30), tuple(rng.uniform(45, 75, 2)))
    found = surface_distances(a, b, spacing)
    images = []
    for mask in (a, b):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing[::-1])  # (x, y)
        # Its own idea of an outline, four-connected like ours.
        images.append(sitk.LabelContour(image, fullyConnected=False))
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    assert found.hausdorff == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-5)
    assert found.mean == pytest.approx(hausdorff.GetAverageHausdorffDistance(), rel=1e-5)


def test_empty_sets_and_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        surface_distances(square(1, 1, 3), np.zeros((40, 50), dtype=bool))
    with pytest.raises(ValueError, match="shape"):
        surface_distances(square(1, 1, 3), np.zeros((40, 51), dtype=bool))
