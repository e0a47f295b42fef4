"""Where the parts of a class fell apart, grew together, or lost or gained a hole, in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.outlines.drawing import Patch
from converters.outlines.topology import Box, Mask, faults, topology


class Tears:
    """Compares the parts of a class as drawn with the parts as traced."""

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
