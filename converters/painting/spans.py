"""Shapes given row by row -> pixels: discs, ellipses, lines of a width, outlines.

Every shape here is a union of convex pieces, and a convex piece is one interval on each row. So
time and memory grow with the rows and the area, never with pieces times area.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from domain.geometry import PixelMask, Ring

Floats = npt.NDArray[np.float64]
Spans = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""(rows, first columns, end columns): pixels first..end - 1; the same row may come again."""

_FLAT_PX = 1e-6
"""An ellipse with a smaller radius holds no pixel centre but by rounding."""

_ROWS_AT_ONCE = 1 << 19
"""Rows over all pieces of a batch; a few dozen MB."""


def ellipse_spans(
    centre: tuple[float, float],
    radii: tuple[float, float],
    degrees: float,
    size_hw: tuple[int, int],
) -> Spans:
    """Rows of the pixels whose centres lie in an ellipse, its outline included.

    Args:
        centre: (x, y) in pixels.
        radii: half the axes in pixels, along x and y before the rotation; 0 or more.
        degrees: rotation around the centre, clockwise on a screen.
        size_hw: (height, width) of the image.
    """
    radius_x, radius_y = radii
    if min(radius_x, radius_y) < _FLAT_PX:
        return _no_spans()
    turn = np.deg2rad(degrees)
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    # a dx^2 + 2 b dx dy + c dy^2 <= 1
    a = (cos / radius_x) ** 2 + (sin / radius_y) ** 2
    b = cos * sin * (1 / radius_x**2 - 1 / radius_y**2)
    reach = float(np.hypot(radius_x * sin, radius_y * cos))
    first, end = np.clip(np.ceil([centre[1] - reach - 0.5, centre[1] + reach + 0.5]), 0, size_hw[0])
    rows: npt.NDArray[np.int64] = np.arange(int(first), int(end), dtype=np.int64)
    dy = rows + 0.5 - centre[1]
    # With a c - b^2 = 1 / (radius_x radius_y)^2 the discriminant needs no difference of squares.
    discriminant = a - (dy / (radius_x * radius_y)) ** 2
    meets = discriminant >= 0
    rows, dy, root = rows[meets], dy[meets], np.sqrt(discriminant[meets])
    return _closed_intervals(
        rows, centre[0] + (-b * dy - root) / a, centre[0] + (-b * dy + root) / a, size_hw
    )


def line_spans(lines: Iterable[Ring], width_px: float, size_hw: tuple[int, int]) -> Iterator[Spans]:
    """Rows of the pixels whose centres lie within half a width of any of the lines.

    Args:
        lines: (n, 2) points in pixels each; open, their ends are round.
        width_px: 0 or more.
        size_hw: (height, width) of the image.
    """
    radius = width_px / 2
    starts, ends = _segments(lines)
    if radius <= 0 or len(starts) == 0:
        return
    up = (starts[:, 1] > ends[:, 1])[:, np.newaxis]
    upper, lower = np.where(up, ends, starts), np.where(up, starts, ends)
    first = np.clip(np.ceil(upper[:, 1] - radius - 0.5), 0, size_hw[0]).astype(np.int64)
    end = np.clip(np.floor(lower[:, 1] + radius - 0.5) + 1, 0, size_hw[0]).astype(np.int64)
    for part, rows in _in_batches(first, end):
        left, right = _capsule_interval(upper[part], lower[part], radius, rows)
        yield _closed_intervals(rows, left, right, size_hw)


def crossed_spans(lines: Iterable[Ring], size_hw: tuple[int, int]) -> Iterator[Spans]:
    """Rows of the pixels that the lines run through; one on the far border counts as inside.

    Args:
        lines: (n, 2) points in pixels each; open. A single point is a line of no length.
        size_hw: (height, width) of the image.
    """
    height, width = size_hw
    starts, ends = _segments(lines)
    if len(starts) == 0:
        return
    up = (starts[:, 1] > ends[:, 1])[:, np.newaxis]
    upper, lower = np.where(up, ends, starts), np.where(up, starts, ends)
    on_image = (lower[:, 1] >= 0) & (upper[:, 1] <= height)
    upper, lower = upper[on_image], lower[on_image]
    first = np.clip(np.floor(upper[:, 1]), 0, height - 1).astype(np.int64)
    end = np.clip(np.ceil(lower[:, 1]).astype(np.int64), first + 1, height)
    for part, rows in _in_batches(first, end):
        p, q = upper[part], lower[part]
        drop = q[:, 1] - p[:, 1]
        slope = (q[:, 0] - p[:, 0]) / np.where(drop > 0, drop, 1.0)
        at_top = p[:, 0] + (np.maximum(rows, p[:, 1]) - p[:, 1]) * slope
        at_bottom = p[:, 0] + (np.minimum(rows + 1.0, q[:, 1]) - p[:, 1]) * slope
        level = drop == 0
        at_top, at_bottom = np.where(level, p[:, 0], at_top), np.where(level, q[:, 0], at_bottom)
        left, right = np.minimum(at_top, at_bottom), np.maximum(at_top, at_bottom)
        inside = (right >= 0) & (left <= width)
        column = np.clip(np.floor(left[inside]), 0, width - 1).astype(np.int64)
        yield (
            rows[inside],
            column,
            np.clip(np.ceil(right[inside]).astype(np.int64), column + 1, width),
        )


def spans_to_mask(spans: Iterable[Spans], size_hw: tuple[int, int]) -> PixelMask:
    """The pixels of all spans together; an empty window when there are none."""
    parts = list(_merged(spans, size_hw))
    if not parts:
        return PixelMask(0, 0, np.zeros((0, 0), dtype=np.bool_))
    rows, firsts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    top, left = int(rows.min()), int(firsts.min())
    shape = (int(rows.max()) + 1 - top, int(ends.max()) - left + 1)
    changes = np.zeros(shape, dtype=np.int32)
    np.add.at(changes, (rows - top, firsts - left), 1)
    np.add.at(changes, (rows - top, ends - left), -1)
    return PixelMask(top, left, np.cumsum(changes, axis=1, dtype=np.int32)[:, :-1] > 0)


def _merged(spans: Iterable[Spans], size_hw: tuple[int, int]) -> Iterator[Spans]:
    """The spans that are not empty, each distinct one once: lines overlap themselves a lot."""
    for rows, firsts, ends in spans:
        some = ends > firsts
        if not some.any():
            continue
        width = size_hw[1] + 1
        key = np.unique((rows[some] * width + firsts[some]) * width + ends[some])
        yield key // (width * width), key // width % width, key % width


def _closed_intervals(
    rows: npt.NDArray[np.int64], left: Floats, right: Floats, size_hw: tuple[int, int]
) -> Spans:
    """The pixels whose centres lie in [left, right]."""
    first = np.clip(np.ceil(left - 0.5), 0, size_hw[1]).astype(np.int64)
    end = np.clip(np.floor(right - 0.5) + 1, 0, size_hw[1]).astype(np.int64)
    some = end > first
    return rows[some], first[some], end[some]


def _capsule_interval(
    upper: Floats, lower: Floats, radius: float, rows: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """[left, right] of every capsule (segment with round ends) on its row; left > right: none."""
    y: Floats = rows.astype(np.float64) + 0.5
    left: Floats = np.full(len(y), np.inf)
    right: Floats = np.full(len(y), -np.inf)
    for ends in (upper, lower):
        square = radius**2 - (y - ends[:, 1]) ** 2
        half = np.sqrt(np.maximum(square, 0))
        left = np.where(square >= 0, np.minimum(left, ends[:, 0] - half), left)
        right = np.where(square >= 0, np.maximum(right, ends[:, 0] + half), right)
    along = lower - upper
    length = np.hypot(along[:, 0], along[:, 1])
    normal = (
        np.column_stack([along[:, 1], -along[:, 0]]) / np.where(length > 0, length, 1.0)[:, None]
    )
    for side in (radius, -radius):
        start = upper + side * normal
        t = (y - start[:, 1]) / np.where(along[:, 1] > 0, along[:, 1], 1.0)
        meets = (along[:, 1] > 0) & (t >= 0) & (t <= 1)
        x = start[:, 0] + t * along[:, 0]
        left = np.where(meets, np.minimum(left, x), left)
        right = np.where(meets, np.maximum(right, x), right)
    return left, right


def _segments(lines: Iterable[Ring]) -> tuple[Floats, Floats]:
    """Start and end points of all segments; a single point starts and ends in itself."""
    none: Floats = np.zeros((0, 2))
    starts, ends = [none], [none]
    for line in lines:
        starts.append(line[:-1] if len(line) > 1 else line)
        ends.append(line[1:] if len(line) > 1 else line)
    return np.concatenate(starts), np.concatenate(ends)


def _in_batches(
    first: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """(piece, row) of every row of every piece, some pieces at a time."""
    n_rows = np.maximum(end - first, 0)
    batch = np.cumsum(n_rows) // _ROWS_AT_ONCE
    for pieces in np.split(np.arange(len(first)), np.flatnonzero(np.diff(batch)) + 1):
        counts = n_rows[pieces]
        piece = np.repeat(pieces, counts)
        yield (
            piece,
            (np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts) + first[piece]),
        )


def _no_spans() -> Spans:
    none = np.zeros(0, dtype=np.int64)
    return none, none, none
