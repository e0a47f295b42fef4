import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.strategies import strategy_by_name
from active_learning.strategies.distances import Points, k_means, nearest, squared_distances
from active_learning.strategies.diverse import k_centres
from active_learning.strategies.typical import atypicality
from tests.unit.active_learning.strategies.pools import plain, unit

SEEDS = st.integers(0, 2**20)


def clumps(sizes: list[int], rng: np.random.Generator) -> Points:
    """So many unit vectors around each of some directions that stand far apart."""
    rows = [np.eye(8)[i] + 0.1 * rng.normal(size=(size, 8)) for i, size in enumerate(sizes)]
    return unit(np.concatenate(rows))


def brute_force_k_centres(points: Points, covered: Points, k: int) -> list[int]:
    centres = [*covered.astype(float)]
    chosen: list[int] = []
    every = points.astype(float)
    while len(chosen) < k:
        if centres:
            far = [min(float(((p - c) ** 2).sum()) for c in centres) for p in every]
        else:
            far = [-float(((p - every.mean(axis=0)) ** 2).sum()) for p in every]
        index = max((i for i in range(len(every)) if i not in chosen), key=lambda i: (far[i], -i))
        chosen.append(index)
        centres.append(every[index])
    return chosen


@given(SEEDS, st.integers(1, 12), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_k_centres_are_those_of_brute_force(seed: int, n: int, n_covered: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3)).astype(np.float32)
    covered = rng.normal(size=(n_covered, 3)).astype(np.float32)
    k = int(rng.integers(1, n + 1))
    assert k_centres(points, covered, k).tolist() == brute_force_k_centres(points, covered, k)


def test_k_centres_cover_at_most_twice_as_badly_as_the_best() -> None:
    """Gonzalez 1985: greedy is a 2-approximation."""
    points = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)

    def radius(centres: list[int]) -> float:
        return math.sqrt(nearest(points, points[centres])[1].max())

    best = min(radius(list(three)) for three in combinations(range(12), 3))
    assert radius(k_centres(points, points[:0], 3).tolist()) <= 2 * best + 1e-6


@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_distances_are_those_of_the_definition(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(size, 5)).astype(np.float32) for size in (n, m))
    expected = ((a[:, None].astype(float) - b[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(a, b), expected, atol=1e-4)
    index, squares = nearest(a, b)
    np.testing.assert_allclose(squares, expected.min(axis=1), atol=1e-4)
    np.testing.assert_allclose(expected[np.arange(n), index], expected.min(axis=1), atol=1e-4)


def test_k_means_finds_clumps_and_weights_pull_the_centres() -> None:
    points = np.array([[0.0], [1.0], [100.0], [101.0]], np.float32)
    centres = k_means(points, 2, np.random.default_rng(0))
    assert np.sort(centres[:, 0]).tolist() == [0.5, 100.5]
    weights = np.array([3.0, 1.0, 1.0, 1.0], np.float32)
    centres = k_means(points, 2, np.random.default_rng(0), weights)
    assert np.sort(centres[:, 0]).tolist() == [0.25, 100.5]


def test_k_means_has_no_more_centres_than_there_are_different_points() -> None:
    points = np.repeat(unit(np.random.default_rng(0).normal(size=(3, 6))), 10, axis=0)
    assert len(k_means(points, 8, np.random.default_rng(0))) == 3


def test_atypicality_is_the_mean_distance_to_the_nearest_twenty() -> None:
    line = np.arange(50, dtype=np.float32)[:, np.newaxis]
    found = atypicality(line)
    assert found[0] == pytest.approx(10.5, abs=1e-3)  # 1 to 20
    assert found[25] == pytest.approx(5.5, abs=1e-3)  # 1 to 10 on both sides
    assert atypicality(line[:3]) == pytest.approx([1.5, 1.0, 1.5], abs=1e-3)
    assert atypicality(line[:1]).tolist() == [0.0]


@pytest.mark.parametrize("name", ["typical", "core_set", "diverse"])
@pytest.mark.parametrize("seed", range(5))
def test_each_clump_is_chosen_once(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = clumps([40, 30, 20, 10], rng)
    chosen = strategy_by_name(name)(plain(100, embeddings=points), 4, rng)
    assert sorted(np.searchsorted([40, 70, 90, 100], chosen, side="right").tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["typical", "core_set"])
def test_what_is_like_a_labelled_one_waits(name: str) -> None:
    rng = np.random.default_rng(0)
    points = clumps([40, 30, 30], rng)
    pool = plain(100, embeddings=points, labelled_embeddings=points[:3])
    chosen = strategy_by_name(name)(pool, 2, rng)
    assert chosen.min() >= 40
    assert len({bool(row < 70) for row in chosen.tolist()}) == 2


def test_the_most_typical_task_has_the_nearest_neighbours() -> None:
    rng = np.random.default_rng(0)
    width = np.where(np.arange(60) < 30, 0.1, 0.4)[:, np.newaxis]
    points = unit(np.eye(32)[0] + width * rng.normal(size=(60, 32)))
    [chosen] = strategy_by_name("typical")(plain(60, embeddings=points), 1, rng)
    far = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    assert chosen == np.sort(far, axis=1)[:, 1:21].mean(axis=1).argmin() < 30


@pytest.mark.parametrize("name", ["typical", "core_set", "diverse"])
def test_no_image_is_in_a_batch_twice_while_others_are_left(name: str) -> None:
    rng = np.random.default_rng(0)
    different = unit(rng.normal(size=(12, 8)))
    # Image 0 is there 50 times, and all its copies need a label most.
    points = np.concatenate([np.repeat(different[:1], 50, axis=0), different[1:]])
    points = unit(points + 1e-4 * rng.normal(size=points.shape))
    quality = np.where(np.arange(61) < 50, 0.05, 0.9)
    chosen = strategy_by_name(name)(plain(61, embeddings=points, quality=quality), 12, rng)
    assert np.count_nonzero(chosen < 50) == 1
    assert strategy_by_name(name)(plain(61, embeddings=points), 61, rng).size == 61


def test_diverse_groups_what_needs_labels_most() -> None:
    rng = np.random.default_rng(0)
    points = clumps([100, 100, 100], rng)
    quality = np.where(np.arange(300) < 200, 0.2, 0.99)
    chosen = strategy_by_name("diverse")(plain(300, embeddings=points, quality=quality), 2, rng)
    assert sorted((chosen // 100).tolist()) == [0, 1]
