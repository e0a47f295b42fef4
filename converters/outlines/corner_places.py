"""Where the corners of a polyline go: to where its edges fit the traced points best.

All vertices move at once, by Gauss-Newton on the distances across the edges. They need not lie on
the trace, so edges cross a curve instead of cutting it short on one side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve

from converters.outlines.edge_breaks import running_sums
from domain.geometry import Ring

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_REASSIGN_PX = 16
"""A vertex is taken to another traced point at most so far along."""

_ROUNDS = 3
_RIDGE = 1e-2
"""Keeps a vertex on a straight line from sliding along it; in points."""

_PIN = 1e12
_DENSE_LIMIT = 150
"""Vertices up to which a dense solve is faster than a sparse one."""


def placed_open(points: Floats, breaks: Ints) -> tuple[Ring, Ints]:
    """Moves the vertices to where the edges fit the points best; both ends stay.

    Returns:
        (m, 2) vertices, and (m,) the index of the point that each is near to.
    """
    sums = running_sums(points)
    vertices = points[breaks].copy()
    pins = np.full(2 * len(breaks), _RIDGE)
    pins[[0, 1, -2, -1]] = _PIN
    for _ in range(_ROUNDS):
        vertices = vertices + _step(vertices[:-1], vertices[1:], sums, breaks, pins)
        vertices[[0, -1]] = points[[0, -1]]
        moved = _nearest_indices(points, vertices[1:-1], breaks[1:-1])
        breaks = np.maximum.accumulate(np.concatenate([breaks[:1], moved, breaks[-1:]]))
    return vertices, breaks


def placed_closed(points: Floats, breaks: Ints) -> tuple[Ring, Ints]:
    """As ``placed_open`` for a ring, whose start may move as well."""
    n = len(points)
    thrice = np.concatenate([points, points, points])
    sums = running_sums(thrice)
    breaks = breaks + n
    vertices = thrice[breaks[:-1]].copy()
    ridge = np.full(2 * len(vertices), _RIDGE)
    for _ in range(_ROUNDS):
        vertices = vertices + _step(
            vertices, np.concatenate([vertices[1:], vertices[:1]]), sums, breaks, ridge
        )
        moved = np.maximum.accumulate(_nearest_indices(thrice, vertices, breaks[:-1]))
        breaks = np.minimum(np.append(moved, moved[0] + n), moved[0] + n)
    return vertices, breaks[:-1] % n


def _nearest_indices(points: Floats, vertices: Floats, around: Ints) -> Ints:
    """The index of the point nearest to each vertex, at most ``_REASSIGN_PX`` from a given one."""
    offsets = np.arange(-_REASSIGN_PX, _REASSIGN_PX + 1)
    indices = np.clip(around[:, np.newaxis] + offsets, 0, len(points) - 1)
    away = points[indices] - vertices[:, np.newaxis]
    nearest = (away * away).sum(axis=2).argmin(axis=1)
    return np.asarray(indices[np.arange(len(vertices)), nearest])


def _step(start: Floats, end: Floats, sums: Floats, breaks: Ints, ridge: Floats) -> Floats:
    """(m, 2): one Gauss-Newton step of the m vertices.

    A point at share t along its edge sees the edge move by (1 - t) times the start's move and t
    times the end's. The sums over points follow from running sums, so the cost does not depend on
    the number of points.
    """
    n_edges, m = len(start), len(ridge) // 2
    x, y, xx, yy, xy = sums[:, breaks[1:] + 1] - sums[:, breaks[:-1]]
    n = (breaks[1:] - breaks[:-1] + 1).astype(np.float64)
    ax, ay = start.T
    ux, uy = (end - start).T
    length = np.maximum(np.hypot(ux, uy), 1e-9)
    ux, uy = ux / length, uy / length
    # Moments around the start of each edge.
    xx, yy = xx - 2 * ax * x + n * ax * ax, yy - 2 * ay * y + n * ay * ay
    xy = xy - ax * y - ay * x + n * ax * ay
    x, y = x - n * ax, y - n * ay
    t = (x * ux + y * uy) / length
    tt = (ux * ux * xx + 2 * ux * uy * xy + uy * uy * yy) / length**2
    d = y * ux - x * uy
    td = (ux * uy * (yy - xx) + (ux * ux - uy * uy) * xy) / length
    across = np.stack([-uy, ux], axis=1)
    first = np.arange(n_edges)
    second = (first + 1) % m
    right = np.zeros((m, 2))
    right[first] += (d - td)[:, np.newaxis] * across
    right[second] += td[:, np.newaxis] * across
    blocks = across[:, :, np.newaxis] * across[:, np.newaxis]
    terms = [(first, first, n - 2 * t + tt), (second, second, tt)]
    terms += [(first, second, t - tt), (second, first, t - tt)]
    if m <= _DENSE_LIMIT:
        matrix = np.zeros((m, 2, m, 2))
        for row, column, weight in terms:
            matrix[row, :, column] += weight[:, np.newaxis, np.newaxis] * blocks
        square = matrix.reshape(2 * m, 2 * m)
        square[np.arange(2 * m), np.arange(2 * m)] += ridge
        return np.asarray(np.linalg.solve(square, right.ravel())).reshape(m, 2)
    pair = np.arange(2)
    at = np.zeros((2, len(terms), *blocks.shape), dtype=np.intp)
    for number, (row, column, _) in enumerate(terms):
        at[0, number] = 2 * row[:, np.newaxis, np.newaxis] + pair[:, np.newaxis]
        at[1, number] = 2 * column[:, np.newaxis, np.newaxis] + pair
    values = [weight[:, np.newaxis, np.newaxis] * blocks for _, _, weight in terms]
    every = np.arange(2 * m)
    entries = np.append(np.ravel(values), ridge)
    rows, columns = np.append(at[0].ravel(), every), np.append(at[1].ravel(), every)
    sparse = csc_array((entries, (rows, columns)), shape=(2 * m, 2 * m))
    return np.asarray(spsolve(sparse, right.ravel())).reshape(m, 2)
