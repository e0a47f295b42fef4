"""Parts and holes of masks: how many there are, and where drawn ones differ from traced ones."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from converters.outlines.drawing import Patch

Mask = npt.NDArray[np.uint8]
"""0 outside, 1 inside."""

Box = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Lowest and highest (x, y) in pixels."""

_LEAST_TILE = 8
_AROUND = 4
"""Pixels by which a tile is larger than its blob: those beside it, and a frame."""

_PIXELS_AT_ONCE = 1 << 18
"""Blobs are looked at in batches of so many pixels."""


class Tears:
    """Where the parts of a class fell apart, grew together, or lost or gained a hole, in pixels."""

    def __init__(self, traced: Sequence[Patch]) -> None:
        self._traced = traced
        self._topology: tuple[int, int, int, int] | None = None

    def found(self, drawn: Sequence[Patch]) -> list[Box] | None:
        """Boxes in the image around what is wrong; None if nothing is."""
        patches = [patch for patch in (*self._traced, *drawn) if patch.pixels.size]
        # Its outermost pixels are outside.
        top, left = min(p.top for p in patches) - 1, min(p.left for p in patches) - 1
        bottom, right = max(p.bottom for p in patches) + 1, max(p.right for p in patches) + 1
        frame = (top, left, bottom - top, right - left)
        after = _together(drawn, frame)
        before = None
        if self._topology is None:
            before = _together(self._traced, frame)
            self._topology = topology(before)
        if topology(after) == self._topology:
            return None
        before = _together(self._traced, frame) if before is None else before
        origin = np.array([left, top], dtype=np.float64)
        return [(low + origin, high + origin) for low, high in faults(before, after)]


def _together(patches: Sequence[Patch], frame: tuple[int, int, int, int]) -> Mask:
    top, left, height, width = frame
    mask = np.zeros((height, width), dtype=np.uint8)
    for patch in patches:
        if patch.pixels.size:
            mask[patch.within(top, left)] |= patch.pixels
    return mask


def topology(mask: npt.NDArray[np.generic]) -> tuple[int, int, int, int]:
    """Counts parts and holes of a mask.

    Args:
        mask: (height, width), any type; not 0 is inside. Its outermost pixels are outside.

    Returns:
        Parts connected by sides and the holes that go with them (connected by corners, too); parts
        connected by corners, too, and the holes that go with those. The last follows from the
        others and the diagonal corners (Gray 1971, "Local properties of binary images").
    """
    inside = (mask != 0).astype(np.uint8)
    parts = _n_components(inside, 4)
    holes = _n_components(1 - inside, 8) - 1
    n_diagonal = int(np.count_nonzero(_is_diagonal(inside)))
    if n_diagonal == 0:
        return parts, holes, parts, holes
    wide_parts = _n_components(inside, 8)
    return parts, holes, wide_parts, wide_parts - parts + holes + n_diagonal


def faults(before: Mask, after: Mask) -> list[Box]:
    """Boxes around wrong pixels that change parts or holes.

    Args:
        before: (height, width); its outermost pixels are outside.
        after: the same, drawn.
    """
    wrong = (before != after).astype(np.uint8)
    _, blobs, stats, _ = cv2.connectedComponentsWithStats(wrong, connectivity=8)
    lows = stats[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    sizes = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    waiting = np.arange(len(stats)) > 0
    is_fault = np.zeros(len(stats), dtype=np.bool_)
    tile = _LEAST_TILE
    while waiting.any():
        chosen = np.flatnonzero(waiting & (sizes.max(axis=1) + _AROUND <= tile))
        waiting[chosen] = False
        at_once = max(1, _PIXELS_AT_ONCE // tile**2)
        for first in range(0, len(chosen), at_once):
            numbers = chosen[first : first + at_once]
            is_fault[numbers] = _changes(
                before, after, blobs, numbers, (lows[numbers], sizes[numbers], tile)
            )
        tile *= 2
    found = np.flatnonzero(is_fault)
    low, high = lows[found].astype(np.float64), (lows + sizes)[found].astype(np.float64)
    return list(zip(low, high, strict=True))


def _changes(
    before: Mask,
    after: Mask,
    blobs: npt.NDArray[np.int32],
    numbers: npt.NDArray[np.intp],
    where: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int],
) -> npt.NDArray[np.bool_]:
    """(n,): whether mending a blob changes parts or holes among the pixels beside it.

    ``where`` holds the blobs' (n, 2) lowest (x, y) and sizes, and a size of tiles that hold them.
    """
    lows, sizes, tile = where
    steps = np.arange(tile)
    columns, rows = lows.T[..., np.newaxis] - _AROUND // 2 + steps
    is_near = (steps > 0) & (steps <= sizes.T[..., np.newaxis] + 2)
    window = is_near[1][:, :, np.newaxis] & is_near[0][:, np.newaxis]
    rows, columns = rows.clip(0, len(before) - 1), columns.clip(0, before.shape[1] - 1)
    at = rows[:, :, np.newaxis], columns[:, np.newaxis]
    drawn = np.where(window, after[at], np.uint8(0))
    own = window & (blobs[at] == numbers[:, np.newaxis, np.newaxis])
    mended = np.where(own, before[at], drawn)
    return np.asarray((_topologies(mended) != _topologies(drawn)).any(axis=1))


def _topologies(tiles: Mask) -> npt.NDArray[np.intp]:
    """(n, 4): ``topology`` of each of (n, height, width) masks."""
    n, height, width = tiles.shape
    inside = tiles.reshape(n * height, width)
    parts = _n_by_tile(inside, 4, n)
    holes = _n_by_tile(1 - inside, 8, n)
    holes[0] -= 1  # the ground of all tiles is one
    wide_parts = _n_by_tile(inside, 8, n)
    n_diagonal = np.count_nonzero(_is_diagonal(tiles), axis=(1, 2))
    return np.stack([parts, holes, wide_parts, wide_parts - parts + holes + n_diagonal], axis=1)


def _is_diagonal(inside: Mask) -> npt.NDArray[np.bool_]:
    """Corners at which two pixels inside and two outside lie across from each other."""
    a, b = inside[..., :-1, :-1], inside[..., :-1, 1:]
    c, d = inside[..., 1:, :-1], inside[..., 1:, 1:]
    return np.asarray((a == d) & (b == c) & (a != b))


def _n_components(image: Mask, connectivity: int) -> int:
    n_labels, _ = cv2.connectedComponents(image, connectivity=connectivity, ltype=cv2.CV_16U)
    return int(n_labels) - 1


def _n_by_tile(image: Mask, connectivity: int, n: int) -> npt.NDArray[np.intp]:
    """Components of each of n tiles, one below the other."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(image, connectivity=connectivity)
    numbers = stats[1:, cv2.CC_STAT_TOP] // (len(image) // n)
    return np.bincount(numbers, minlength=n)
