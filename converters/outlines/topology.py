"""Parts and holes of masks: how many there are, and where two masks disagree about them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

Box = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Lowest and highest (x, y) in pixels."""


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
    a, b, c, d = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    n_diagonal = int(np.count_nonzero((a == d) & (b == c) & (a != b)))
    if n_diagonal == 0:
        return parts, holes, parts, holes
    wide_parts = _n_components(inside, 8)
    return parts, holes, wide_parts, wide_parts - parts + holes + n_diagonal


def faults(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Boxes (x, y low; x, y high) around wrong pixels that change parts or holes."""
    wrong = (before != after).astype(np.uint8)
    n_blobs, blobs, stats, _ = cv2.connectedComponentsWithStats(wrong, connectivity=8)
    for number in range(1, n_blobs):
        left, top, width, height = stats[number, :4].tolist()
        window = (slice(top - 1, top + height + 1), slice(left - 1, left + width + 1))
        mended = np.where(blobs[window] == number, before[window], after[window])
        if topology(np.pad(mended, 1)) != topology(np.pad(after[window], 1)):
            yield (
                np.array([left, top], dtype=np.float64),
                np.array([left + width, top + height], dtype=np.float64),
            )


def _n_components(image: npt.NDArray[np.uint8], connectivity: int) -> int:
    n_labels, _ = cv2.connectedComponents(image, connectivity=connectivity, ltype=cv2.CV_16U)
    return int(n_labels) - 1
