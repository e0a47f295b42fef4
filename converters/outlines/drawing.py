"""The pixels of rings, each in a window of its own: many rings are painted at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.painting.rasterize import polygon_to_mask
from domain.geometry import Polygon, Ring

_PIXELS_AT_ONCE = 1 << 22
"""Rings are painted in batches of about so many pixels, or one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels of an image: (height, width) bool, the first at row ``top`` and column ``left``."""

    top: int
    left: int
    pixels: npt.NDArray[np.bool_]

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + self.pixels.shape[0]

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.left + self.pixels.shape[1]

    def within(self, top: int, left: int) -> tuple[slice, slice]:
        """Its rows and columns, counted from another pixel."""
        return (
            slice(self.top - top, self.bottom - top),
            slice(self.left - left, self.right - left),
        )


NO_PIXELS = Patch(0, 0, np.zeros((0, 0), dtype=np.bool_))


def painted(rings: Sequence[Ring]) -> list[Patch]:
    """The pixels whose centres lie inside each ring; none for one with fewer than 3 points."""
    patches = [NO_PIXELS] * len(rings)
    solid = [index for index, ring in enumerate(rings) if len(ring) >= 3]
    if not solid:
        return patches
    lengths = np.array([len(rings[index]) for index in solid])
    first = np.cumsum(lengths) - lengths
    points = np.concatenate([rings[index] for index in solid])
    low = np.floor(np.minimum.reduceat(points, first)).astype(np.intp)
    size = np.ceil(np.maximum.reduceat(points, first)).astype(np.intp) - low
    for chosen in _batches(size):
        # One below the other: each has rows of its own, so one polygon of all rings is right.
        heights = size[chosen, 1]
        tops = np.cumsum(heights) - heights
        shifts = (np.array([0, 1]) * tops[:, np.newaxis] - low[chosen]).astype(np.float64)
        moved = [rings[solid[k]] + shift for k, shift in zip(chosen.tolist(), shifts, strict=True)]
        shape = (int(heights.sum()), int(size[chosen, 0].max()))
        mask = polygon_to_mask(Polygon(moved[0], tuple(moved[1:])), shape)
        places = np.column_stack([chosen, tops, size[chosen], low[chosen]]).tolist()
        for k, top, width, height, x, y in places:
            patches[solid[k]] = Patch(y, x, mask[top : top + height, :width].copy())
    return patches


def _batches(size: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    """Indices of rings of about the same width that are not too many pixels together."""
    widths = np.maximum(size[:, 0], 1)
    kind = np.ceil(np.log2(widths)).astype(np.intp)
    for own in np.unique(kind).tolist():
        chosen = np.flatnonzero(kind == own)
        total = np.cumsum(size[chosen, 1] << own)
        cuts = np.flatnonzero(np.diff(total // _PIXELS_AT_ONCE)) + 1
        yield from np.split(chosen, cuts)


def inside_of(patches: Sequence[Patch]) -> Patch:
    """What lies inside an odd number of rings, as the holes of a polygon leave it."""
    patches = [patch for patch in patches if patch.pixels.size]
    if len(patches) < 2:
        return patches[0] if patches else NO_PIXELS
    top, left = min(p.top for p in patches), min(p.left for p in patches)
    bottom, right = max(p.bottom for p in patches), max(p.right for p in patches)
    inside = np.zeros((bottom - top, right - left), dtype=np.bool_)
    for patch in patches:
        inside[patch.within(top, left)] ^= patch.pixels
    return Patch(top, left, inside)


def overlap(a: Patch, b: Patch) -> float:
    """Pixels in both over pixels in either (0..1); 0 where there are none."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    height = min(a.bottom, b.bottom) - top
    width = min(a.right, b.right) - left
    both = 0
    if height > 0 and width > 0:
        ours, theirs = (
            p.pixels[top - p.top : top - p.top + height, left - p.left : left - p.left + width]
            for p in (a, b)
        )
        both = int(np.count_nonzero(ours & theirs))
    either = int(np.count_nonzero(a.pixels)) + int(np.count_nonzero(b.pixels)) - both
    return both / either if either else 0.0
