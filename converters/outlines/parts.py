"""The connected parts of a label map: how many there are, and how small the smallest."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap


def area_that_keeps(
    label_map: LabelMap, class_indices: Iterable[int], most: int
) -> tuple[int, int]:
    """How large a part must be for only so many to remain.

    Args:
        label_map: (height, width) uint8.
        class_indices: the classes whose parts (pixels that share a side) count.
        most: how many may remain, at least 0.

    Returns:
        (pixels, parts): the least area of a part such that at most ``most`` have it, 0 when there
        are no more than that; and how many parts there are. Of equal parts all go or none.

    >>> import numpy as np
    >>> area_that_keeps(np.array([[1, 0, 1, 1, 0, 1]], np.uint8), [1], 1)
    (2, 3)
    """
    areas = np.concatenate(
        [np.zeros(0, np.int64), *(_areas(label_map, index) for index in class_indices)]
    )
    if len(areas) <= most:
        return 0, len(areas)
    first_too_small = np.sort(areas)[::-1][most]
    return int(first_too_small) + 1, len(areas)


def _areas(label_map: LabelMap, class_index: int) -> npt.NDArray[np.int64]:
    inside = (label_map == class_index).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    return np.asarray(stats[1:, cv2.CC_STAT_AREA], dtype=np.int64)
