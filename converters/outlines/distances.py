"""How far traced arcs are from the polylines drawn for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.outlines.edge_breaks import Floats, Ints
from domain.geometry import Ring


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """(n, 2) traced points, (m, 2) vertices, and (m,) the point that each vertex is near to."""

    points: Ring
    vertices: Ring
    near: Ints
    is_closed: bool


def farthest_px(fits: Sequence[Fit]) -> list[float]:
    """Of each arc the largest distance of a point from its edge or one of the two beside it.

    Args:
        fits: with two vertices or more each; distances of many cost hardly more than of one.
    """
    if not fits:
        return []
    n_points = np.array([len(fit.points) for fit in fits])
    n_vertices = np.array([len(fit.vertices) for fit in fits])
    is_closed = np.array([fit.is_closed for fit in fits])
    points = np.concatenate([fit.points for fit in fits])
    starts = np.concatenate([fit.vertices for fit in fits])
    since = np.cumsum(n_points) - n_points
    head = np.cumsum(n_vertices) - n_vertices
    # One edge for each vertex, to the next one; the last of an open arc has none.
    following = np.arange(len(starts)) + 1
    following[head + n_vertices - 1] = np.where(is_closed, head, head + n_vertices - 1)
    spans = starts[following] - starts
    n_edges = n_vertices - ~is_closed

    near = np.concatenate([fit.near for fit in fits]) + np.repeat(since, n_vertices)
    # Vertices that wandered beyond the start of a ring come first or last in the running order.
    order = np.argsort(near, kind="stable")
    place = np.searchsorted(near[order], np.arange(len(points)), side="right") - 1
    head, n_edges = np.repeat(head, n_points), np.repeat(n_edges, n_points)
    is_ring = np.repeat(is_closed, n_points)
    before_all = place < head
    place = np.where(before_all, head + n_edges - 1, place)
    edge = np.minimum(order[place] - head, n_edges - 1)
    squared = np.full(len(points), np.inf)
    for step in (-1, 0, 1):
        beside = edge + step
        beside = head + np.where(is_ring, beside % n_edges, np.clip(beside, 0, n_edges - 1))
        span, away = spans[beside], points - starts[beside]
        length = np.maximum((span * span).sum(axis=1), 1e-18)
        rest = away - np.clip((away * span).sum(axis=1) / length, 0.0, 1.0)[:, np.newaxis] * span
        np.minimum(squared, (rest * rest).sum(axis=1), out=squared)
    found: Floats = np.sqrt(np.maximum.reduceat(squared, since))
    return [float(distance) for distance in found]
