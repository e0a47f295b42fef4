"""Where polylines cross or touch themselves or one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import shapely

from domain.geometry import Ring

Points = npt.NDArray[np.float64]
"""(n, 2) x and y in pixels."""

_APART = "FF*F*****"
"""DE-9IM of two lines that share nothing but ends."""


def lines_of(vertices: Sequence[Ring], is_closed: Sequence[bool]) -> npt.NDArray[np.object_]:
    """Shapely lines through (n, 2) vertices each; a closed one leads back to its start."""
    closed = [
        np.concatenate([v, v[:1]]) if c else v for v, c in zip(vertices, is_closed, strict=True)
    ]
    numbers = np.repeat(np.arange(len(closed)), [len(v) for v in closed])
    if len(closed) == 0:
        return np.zeros(0, dtype=object)
    return np.asarray(shapely.linestrings(np.concatenate(closed), indices=numbers))


def own_crossings(lines: npt.NDArray[np.object_]) -> Iterator[tuple[int, Points]]:
    """Lines that cross or touch themselves, and where."""
    for number in np.flatnonzero(~shapely.is_simple(lines)).tolist():
        yield number, _own_crossings(lines[number])


def crossings(lines: npt.NDArray[np.object_]) -> Iterator[tuple[tuple[int, int], Points]]:
    """Pairs of lines that cross, or touch elsewhere than at their ends, and where."""
    first, second = shapely.STRtree(lines).query(lines, predicate="intersects")
    pairs = first < second
    first, second = first[pairs], second[pairs]
    apart = shapely.relate_pattern(lines[first], lines[second], _APART)
    for pair in zip(first[~apart].tolist(), second[~apart].tolist(), strict=True):
        yield pair, shapely.get_coordinates(shapely.intersection(lines[pair[0]], lines[pair[1]]))


def _own_crossings(line: shapely.LineString) -> Points:
    points = shapely.get_coordinates(line)
    points = points[np.append(True, (points[1:] != points[:-1]).any(axis=1))]
    edges = np.asarray(shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)))
    first, second = shapely.STRtree(edges).query(edges, predicate="intersects")
    pairs = first < second
    first, second = first[pairs], second[pairs]
    common = np.asarray(shapely.intersection(edges[first], edges[second]))
    is_closed = bool((points[0] == points[-1]).all())
    beside = (second == first + 1) | (is_closed & (first == 0) & (second == len(edges) - 1))
    # Edges beside each other share their vertex; more of them where one leads back.
    wrong = ~beside | (shapely.length(common) > 0)
    return np.asarray(shapely.get_coordinates(common[wrong]))
