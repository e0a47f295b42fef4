"""Edges of many arcs at once, next to each arc alone and to every choice there is."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from converters.outlines.arcs import borders_of
from converters.outlines.corner_places import Chain, placed
from converters.outlines.edge_breaks import Floats, Ladder, cheapest_edges
from tests.unit.converters.shapes import blobs

LADDER = Ladder((30.0, 3.0, 0.3), 0.04, 64, 4)


def price_of(points: Floats, breaks: tuple[int, ...], ladder: Ladder, price: float) -> float:
    total = 0.0
    for first, last in pairwise(breaks):
        own = points[first : last + 1]
        squares = np.linalg.eigvalsh(np.cov(own.T, bias=True) * len(own))[0]
        excess = max(squares - ladder.variance_px2 * len(own), 0.0)
        total += 0.8 * np.sqrt(excess * len(own)) + price
    return total


@pytest.mark.parametrize("seed", range(6))
def test_no_choice_of_breaks_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.integers(-1, 2, (9, 2)) * 0.5 + [0.5, 0.0], axis=0)
    (edges,) = cheapest_edges([points], LADDER)
    inner = range(1, len(points) - 1)
    every = [(0, *c, len(points) - 1) for n in range(8) for c in combinations(inner, n)]
    for step, price in enumerate(LADDER.prices_px2):
        breaks = tuple(edges.breaks(step).tolist())
        assert edges.counts[step] == len(breaks) - 1
        found = price_of(points, breaks, LADDER, price)
        least = min(price_of(points, choice, LADDER, price) for choice in every)
        assert found == pytest.approx(least, abs=1e-6)
        assert edges.areas_px2[step] == pytest.approx(found - price * edges.counts[step], abs=1e-6)


def arcs_of(seed: int) -> list[tuple[Floats, bool]]:
    borders = borders_of(blobs(seed, (120, 150), 3), [1, 2, 3])
    return [(arc.points, arc.is_closed) for arc in borders.arcs]


@pytest.mark.parametrize("seed", range(4))
def test_an_arc_does_not_depend_on_those_solved_with_it(seed: int) -> None:
    arcs = arcs_of(seed)
    looped = [np.concatenate([p, p[:1]]) if closed else p for p, closed in arcs]
    together = cheapest_edges(looped, LADDER)
    chains = []
    for (points, closed), loop, edges in zip(arcs, looped, together, strict=True):
        (alone,) = cheapest_edges([loop], LADDER)
        assert edges.counts == alone.counts
        for step in range(3):
            breaks = edges.breaks(step)
            np.testing.assert_array_equal(breaks, alone.breaks(step))
            assert breaks[0] == 0
            assert breaks[-1] == len(loop) - 1
            if len(breaks) > 3:
                chains.append(Chain(points, breaks, closed))
    assert len(chains) > 5
    for chain, (vertices, near) in zip(chains, placed(chains), strict=True):
        ((own_vertices, own_near),) = placed([chain])
        np.testing.assert_allclose(vertices, own_vertices, atol=1e-7)
        np.testing.assert_array_equal(near, own_near)
        if not chain.is_closed:
            np.testing.assert_allclose(vertices[[0, -1]], chain.points[[0, -1]], atol=1e-9)


def test_no_arcs_have_no_edges() -> None:
    assert cheapest_edges([], LADDER) == []
