"""Which stretches of a traced arc become one straight edge each.

Dynamic programming over the price of a vertex (after Perez, Vidal 1994, "Optimum polygonal
approximation of digitized curves"); the cost of a stretch is the area between it and its best line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_MEAN_OF_RMS = 0.8
"""Mean distance over root mean square distance, for normal errors."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Levels that are solved together.

    ``prices_px2``: area in square pixels that one vertex must save, from coarse to fine.
    ``variance_px2``: how far traced points scatter around an edge that is as good as exact; a
    digital straight line scatters by 0 (along an axis or a diagonal) to 1/12. ``n_candidates``
    break points are considered per piece (the cost is quadratic in them), one every ``max_step``
    points or more often.
    """

    prices_px2: tuple[float, ...]
    variance_px2: float
    n_candidates: int
    max_step: int


def running_sums(points: Floats) -> Floats:
    """(5, n + 1): sums of x, y, xx, yy, xy over the points before each index."""
    x, y = points.T
    sums = np.zeros((5, len(points) + 1))
    np.cumsum(np.stack([x, y, x * x, y * y, x * y]), axis=1, out=sums[:, 1:])
    return sums


def cheapest_breaks(candidates: Ints, sums: Floats, ladder: Ladder) -> tuple[list[Ints], Floats]:
    """The cheapest edges from the first candidate to the last.

    Returns:
        Per price: their breaks, and the area in square pixels between them and the points.
    """
    cost = _line_costs(candidates, sums, ladder.variance_px2)
    prices = np.array(ladder.prices_px2)
    n, rows = len(candidates), np.arange(len(prices))
    total = np.zeros((len(prices), n))
    before = np.zeros((len(prices), n), dtype=np.intp)
    for j in range(1, n):
        to_j = total[:, :j] + cost[j, :j]
        best = to_j.argmin(axis=1)
        before[:, j] = best
        total[:, j] = to_j[rows, best] + prices
    breaks = []
    for row in before.tolist():
        path = [n - 1]
        while path[-1] > 0:
            path.append(row[path[-1]])
        breaks.append(candidates[path[::-1]])
    n_edges = np.array([len(b) - 1 for b in breaks])
    return breaks, total[:, -1] - prices * n_edges


def _line_costs(candidates: Ints, sums: Floats, variance_px2: float) -> Floats:
    """(n, n): area in square pixels between the points i..j and their best line, at [j, i]."""
    x, y, xx, yy, xy = (
        sums[:, candidates + 1][:, :, np.newaxis] - sums[:, candidates][:, np.newaxis]
    )
    n = np.maximum(candidates[:, np.newaxis] - candidates + 1, 1).astype(np.float64)
    xx, yy, xy = xx - x * x / n, yy - y * y / n, xy - x * y / n
    across = (xx + yy) - np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    squares = np.maximum(across / 2 - variance_px2 * n, 0.0)
    result: Floats = _MEAN_OF_RMS * np.sqrt(squares * n)
    return result
