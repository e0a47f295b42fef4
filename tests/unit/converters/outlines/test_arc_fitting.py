import numpy as np
import pytest

from converters.outlines.arc_fitting import N_LEVELS, ArcFitter
from domain.geometry import Ring

SIZE = (400, 400)


def circle(n: int, radius: float = 100.0) -> Ring:
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.round(200 + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), 6)


def staircase(ring: Ring, n: int) -> Ring:
    """Points along a ring's edges, each moved to the middle of the pixel side nearby."""
    closed = np.concatenate([ring, ring[:1]])
    t = np.linspace(0, len(ring), n, endpoint=False)
    x, y = (np.interp(t, np.arange(len(closed)), closed[:, k]) for k in (0, 1))
    return np.stack([np.round(x), np.round(y - 0.5) + 0.5], axis=1)


def area(ring: Ring) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def test_corners_of_a_digital_polygon_are_found_between_its_pixels() -> None:
    corners = np.array([[40.3, 50.2], [300.7, 90.4], [330.1, 310.9], [90.6, 280.5]])
    fitter = ArcFitter(staircase(corners, 1200), is_closed=True, size_hw=SIZE)
    found = fitter.vertices(6)
    assert len(found) == 4
    away = np.linalg.norm(found[:, np.newaxis] - corners, axis=2).min(axis=0)
    assert away.max() < 0.5


@pytest.mark.parametrize("level", range(0, 14))
def test_a_circle_keeps_its_area(level: int) -> None:
    # Vertices on the circle would lose 2 pi^2 / (3 n^2) of it, 10 % with 8 of them.
    vertices = ArcFitter(circle(600), is_closed=True, size_hw=SIZE).vertices(level)
    if len(vertices) >= 6:
        assert area(vertices) == pytest.approx(np.pi * 100**2, rel=0.01)


def test_finer_levels_have_more_vertices_and_end_at_the_trace() -> None:
    points = circle(300)
    fitter = ArcFitter(points, is_closed=True, size_hw=SIZE)
    counts = [len(fitter.vertices(level)) for level in range(17)]
    assert counts == sorted(counts)
    assert len(fitter.vertices(N_LEVELS - 1)) == 300
    assert fitter.distance_px(N_LEVELS - 1) == 0.0
    assert fitter.distance_px(2) > fitter.distance_px(14)


@pytest.mark.parametrize("level", [0, 8, 16, 20])
def test_open_arcs_keep_their_ends(level: int) -> None:
    points = circle(300)[:140]
    vertices = ArcFitter(points, is_closed=False, size_hw=SIZE).vertices(level)
    np.testing.assert_array_equal(vertices[[0, -1]], points[[0, -1]])


def test_distance_is_that_of_the_farthest_point() -> None:
    x = np.arange(0, 101, dtype=np.float64)
    y = np.full(101, 50.0)
    y[50] = 53.0  # a spike that no price of 300 px^2 pays for
    fitter = ArcFitter(np.stack([x, y], axis=1), is_closed=False, size_hw=SIZE)
    assert len(fitter.vertices(0)) == 2
    assert fitter.distance_px(0) == pytest.approx(3.0)


def test_a_kept_stretch_follows_the_trace() -> None:
    points = circle(300)
    fitter = ArcFitter(points, is_closed=True, size_hw=SIZE)
    box = (np.array([290.0, 190.0]), np.array([310.0, 210.0]))
    assert fitter.keep(*box)
    assert not fitter.keep(*box)
    inside = ((points >= box[0]) & (points <= box[1])).all(axis=1)
    vertices = fitter.vertices(3).tolist()
    assert all(point in vertices for point in points[inside].tolist())
    assert len(vertices) < 40


def test_long_arcs_are_solved_in_pieces() -> None:
    points = circle(20_000, 180)
    vertices = ArcFitter(points, is_closed=True, size_hw=SIZE).vertices(12)
    assert area(vertices) == pytest.approx(np.pi * 180**2, rel=0.002)
    assert len(vertices) < 100


def test_many_vertices_at_once() -> None:
    angles = np.linspace(0, 2 * np.pi, 9000, endpoint=False)
    radius = 150 + 8 * np.sin(120 * angles)
    ring = 200 + radius[:, np.newaxis] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    fitter = ArcFitter(ring, is_closed=True, size_hw=SIZE)
    assert len(fitter.vertices(10)) > 200
    assert fitter.distance_px(10) < 2.5
