"""Polygons -> label map, exact by the pixel-centre rule.

A pixel belongs to a polygon when its centre (i + 0.5) lies inside, even-odd over all rings. Ties
are half-open, so that shapes which share an edge never share a pixel and never leave a gap: a
centre exactly on an edge counts as right of it (a left edge takes it in, a right edge leaves it
out), and a row centre exactly on a vertex belongs to the edge that starts there (a top takes it
in, a bottom leaves it out).

The method is the scanline fill of Foley, van Dam, "Computer Graphics", 3.6: where each edge crosses
each row's centre line one toggle is set, and the running xor along the row is the inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap, Polygon, Ring

_MAX_CLASS = np.iinfo(np.uint8).max


def polygon_to_mask(polygon: Polygon, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels whose centres lie inside the polygon.

    Args:
        polygon: rings in continuous pixel coordinates; they may leave the image, touch or cross.
            A ring with fewer than three points holds nothing.
        size_hw: (height, width) of the image in pixels.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: if a coordinate is not finite.
    """
    mask = np.zeros(size_hw, dtype=np.bool_)
    top, left, inside = _inside(polygon, size_hw)
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


def polygons_to_label_map(
    shapes: Sequence[tuple[int, Polygon]], size_hw: tuple[int, int]
) -> LabelMap:
    """Paints shapes in order; a later shape paints over an earlier one.

    Args:
        shapes: pairs (class integer in 1..255, polygon in pixels).
        size_hw: (height, width) of the image in pixels.

    Returns:
        (height, width) uint8, 0 where no shape is.

    Raises:
        ValueError: if a class integer is outside 1..255 or a coordinate is not finite.
    """
    label_map = np.zeros(size_hw, dtype=np.uint8)
    for class_index, polygon in shapes:
        if not 1 <= class_index <= _MAX_CLASS:
            raise ValueError(f"A class integer must be in 1..{_MAX_CLASS}, got {class_index}.")
        top, left, inside = _inside(polygon, size_hw)
        window = label_map[top : top + inside.shape[0], left : left + inside.shape[1]]
        window[inside] = class_index
    return label_map


def _inside(polygon: Polygon, size_hw: tuple[int, int]) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """(top, left, (h, w) bool) of the polygon's bounding box, cut to the image."""
    height, width = size_hw
    empty = (0, 0, np.zeros((0, 0), dtype=np.bool_))
    starts, ends = _edges(polygon.rings)
    if len(starts) == 0:
        return empty
    if not (np.isfinite(starts).all() and np.isfinite(ends).all()):
        raise ValueError("A polygon's coordinates must be finite numbers.")

    # Rows whose centre r + 0.5 lies in [y_start, y_end), cut to the image.
    first_row = np.clip(np.ceil(starts[:, 1] - 0.5), 0, height).astype(np.int64)
    end_row = np.clip(np.ceil(ends[:, 1] - 0.5), 0, height).astype(np.int64)
    n_rows = end_row - first_row
    total = int(n_rows.sum())
    if total == 0:
        return empty
    edge = np.repeat(np.arange(len(starts)), n_rows)
    row = np.arange(total) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first_row[edge]

    x0, y0 = starts[edge].T
    slope = ((ends[:, 0] - starts[:, 0]) / (ends[:, 1] - starts[:, 1]))[edge]
    crossing = x0 + (row + 0.5 - y0) * slope
    # The first column whose centre is at or right of the crossing.
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)

    top, bottom = int(row.min()), int(row.max()) + 1
    left, right = int(column.min()), int(column.max())
    if right == left:
        return empty
    # One column more than the box holds the toggles at its right edge.
    shape = (bottom - top, right - left + 1)
    toggles = np.zeros(shape, dtype=np.uint8)
    np.bitwise_xor.at(toggles.ravel(), (row - top) * shape[1] + (column - left), 1)
    inside = np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1]
    return top, left, inside.astype(np.bool_)


def _edges(rings: Sequence[Ring]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(n, 2) upper and lower end points of every edge that is not horizontal.

    The direction is always downwards, so that an edge walked both ways (two neighbours, the bridge
    of a keyhole) crosses each row at the very same number and cancels.
    """
    closed = [ring for ring in rings if len(ring) >= 3]
    if not closed:
        none = np.zeros((0, 2), dtype=np.float64)
        return none, none
    a = np.concatenate(closed).astype(np.float64, copy=False)
    b = np.concatenate([np.roll(ring, -1, axis=0) for ring in closed]).astype(
        np.float64, copy=False
    )
    slanted = a[:, 1] != b[:, 1]
    a, b = a[slanted], b[slanted]
    up = (a[:, 1] > b[:, 1])[:, np.newaxis]
    return np.where(up, b, a), np.where(up, a, b)
