"""Shapes -> label map, exact by the pixel-centre rule.

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

from domain.geometry import LabelMap, Polygon, Ring, Shape

_MAX_CLASS = np.iinfo(np.uint8).max

_CROSSINGS_AT_ONCE = 1 << 20
"""Edges are taken in batches that cross about so many row centres: some 60 MB whatever the
polygon."""

_Window = tuple[int, int, npt.NDArray[np.bool_]]
"""(top, left, (h, w) bool)."""


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
    shapes: Sequence[tuple[int, Shape]], size_hw: tuple[int, int]
) -> LabelMap:
    """Paints shapes in order; a later shape paints over an earlier one.

    Args:
        shapes: pairs (class integer in 1..255, polygon or pixels).
        size_hw: (height, width) of the image in pixels.

    Returns:
        (height, width) uint8, 0 where no shape is.

    Raises:
        ValueError: if a class integer is outside 1..255 or a coordinate is not finite.
    """
    label_map = np.zeros(size_hw, dtype=np.uint8)
    for class_index, shape in shapes:
        if not 1 <= class_index <= _MAX_CLASS:
            raise ValueError(f"A class integer must be in 1..{_MAX_CLASS}, got {class_index}.")
        top, left, inside = _window_of(shape, size_hw)
        window = label_map[top : top + inside.shape[0], left : left + inside.shape[1]]
        window[inside] = class_index
    return label_map


def hidden_shapes(shapes: Sequence[tuple[int, Shape]], size_hw: tuple[int, int]) -> tuple[int, ...]:
    """Positions of the shapes of which later ones leave no pixel, as ``polygons_to_label_map``.

    A shape that covers no pixel is not among them.
    """
    boxes = np.array([_box_of(shape) for _, shape in shapes]).reshape(-1, 2, 2)
    low, high = boxes[:, 0], boxes[:, 1]
    covered = np.zeros(size_hw, dtype=np.bool_)
    hidden = []
    for position in range(len(shapes) - 1, -1, -1):
        # Most regions overlap no other one: those need not be drawn a second time.
        overlaps = ((low < high[position]) & (low[position] < high)).all(axis=1)
        if np.count_nonzero(overlaps) == overlaps[position]:
            continue
        top, left, inside = _window_of(shapes[position][1], size_hw)
        window = covered[top : top + inside.shape[0], left : left + inside.shape[1]]
        if inside.any() and window[inside].all():
            hidden.append(position)
        window |= inside
    return tuple(reversed(hidden))


def shape_to_mask(shape: Shape, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels of a shape, polygon or pixels, as ``polygon_to_mask`` gives them."""
    mask = np.zeros(size_hw, dtype=np.bool_)
    top, left, inside = _window_of(shape, size_hw)
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


def covers_a_pixel(shape: Shape, size_hw: tuple[int, int]) -> bool:
    """Whether a shape covers the centre of any pixel of the image.

    Raises:
        ValueError: if a coordinate is not finite.
    """
    if isinstance(shape, Polygon):
        # One row through the middle answers for nearly every polygon, and costs next to nothing.
        heights = shape.exterior[:, 1]
        if len(heights) == 0:
            return False
        middle = np.clip((heights.min() + heights.max()) / 2, 0, max(size_hw[0] - 1, 0))
        if np.isfinite(middle) and _inside(shape, size_hw, int(middle))[2].any():
            return True
    return bool(_window_of(shape, size_hw)[2].any())


def _box_of(shape: Shape) -> list[list[float]]:
    """[[left, top], [right, bottom]]."""
    if isinstance(shape, Polygon):
        if len(shape.exterior) == 0:
            return [[0.0, 0.0], [0.0, 0.0]]
        low, high = shape.exterior.min(axis=0), shape.exterior.max(axis=0)
        return [low.tolist(), high.tolist()]
    height, width = shape.inside.shape
    return [[shape.left, shape.top], [shape.left + width, shape.top + height]]


def _window_of(shape: Shape, size_hw: tuple[int, int]) -> _Window:
    if isinstance(shape, Polygon):
        return _inside(shape, size_hw)
    height, width = size_hw
    return shape.top, shape.left, shape.inside[: height - shape.top, : width - shape.left]


def _inside(polygon: Polygon, size_hw: tuple[int, int], only_row: int | None = None) -> _Window:
    """The pixels of the polygon's bounding box, cut to the image (or to one row of it)."""
    height, width = size_hw
    empty = (0, 0, np.zeros((0, 0), dtype=np.bool_))
    starts, ends = _edges(polygon.rings)
    if len(starts) == 0:
        return empty
    if not (np.isfinite(starts).all() and np.isfinite(ends).all()):
        raise ValueError("A polygon's coordinates must be finite numbers.")

    # Rows whose centre r + 0.5 lies in [y_start, y_end), cut to the image.
    rows = (0, height) if only_row is None else (only_row, only_row + 1)
    first_row = np.clip(np.ceil(starts[:, 1] - 0.5), *rows).astype(np.int64)
    n_rows = np.clip(np.ceil(ends[:, 1] - 0.5), *rows).astype(np.int64) - first_row
    crossing = n_rows > 0
    if not crossing.any():
        return empty
    starts, ends = starts[crossing], ends[crossing]
    first_row, n_rows = first_row[crossing], n_rows[crossing]
    top, bottom = int(first_row.min()), int((first_row + n_rows).max())

    xs = np.concatenate([starts[:, 0], ends[:, 0]])
    left, right = (int(x) for x in np.clip(np.ceil([xs.min() - 0.5, xs.max() - 0.5]), 0, width))
    if right == left:
        return empty
    # One column more than the box holds the toggles at its right edge.
    toggles = np.zeros((bottom - top, right - left + 1), dtype=np.uint8)
    batch = (np.cumsum(n_rows) - 1) // _CROSSINGS_AT_ONCE
    for part in np.split(np.arange(len(starts)), np.flatnonzero(np.diff(batch)) + 1):
        row, x = _crossings(starts[part], ends[part], first_row[part], n_rows[part])
        column = np.clip(x, left, right).astype(np.int64)
        np.bitwise_xor.at(
            toggles.ravel(), (row - top) * toggles.shape[1] + (column - left), np.uint8(1)
        )
    inside = np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1]
    return top, left, inside.view(np.bool_)


def _crossings(
    starts: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
    first_row: npt.NDArray[np.int64],
    n_rows: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(row, first column at or right of the crossing) for every edge and row centre it meets."""
    edge = np.repeat(np.arange(len(starts)), n_rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first_row[edge]
    x0, y0 = starts[edge].T
    slope = ((ends[:, 0] - starts[:, 0]) / (ends[:, 1] - starts[:, 1]))[edge]
    return row, np.ceil(x0 + (row + 0.5 - y0) * slope - 0.5)


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
    # Each ring's points, the second first and the first last.
    following = np.arange(1, len(a) + 1)
    stops = np.cumsum([len(ring) for ring in closed])
    following[stops - 1] = np.append(0, stops[:-1])
    b = a[following]
    slanted = a[:, 1] != b[:, 1]
    a, b = a[slanted], b[slanted]
    up = (a[:, 1] > b[:, 1])[:, np.newaxis]
    return np.where(up, b, a), np.where(up, a, b)
