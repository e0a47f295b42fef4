"""Images and label maps made small: to be kept many times, and looked at."""

from __future__ import annotations

import cv2
import numpy as np

from converters.pictures.panels import RgbImage, to_rgb
from domain.geometry import LabelMap, Pixels

_QUARTER = 64
"""Of 255: a pixel belongs to a class from this share on. Of half, thin lines would break."""


def small_size_wh(height: int, width: int, longest: int) -> tuple[int, int]:
    """(width, height) in pixels, each at least 1, of which none is above ``longest``.

    What is smaller already keeps its size.
    """
    scale = min(longest / max(height, width), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def small_image(image: Pixels, longest: int) -> RgbImage:
    """The image with no side above ``longest`` pixels.

    Args:
        image: (height, width) or (height, width, 3); uint8 or uint16. 16 bits are stretched to
            their own range.
        longest: At least 1.

    Returns:
        (rows, columns, 3) uint8 RGB, of the size of ``small_label_map``.
    """
    height, width = image.shape[:2]
    size_wh = small_size_wh(height, width, longest)
    # Before it becomes RGB: images are large.
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return to_rgb(np.asarray(small))


def small_label_map(label_map: LabelMap, longest: int) -> LabelMap:
    """The label map with no side above ``longest`` pixels.

    A pixel has the class that covers most of it, where that is a quarter at least.

    Args:
        label_map: (height, width) uint8.
        longest: At least 1.

    Returns:
        (rows, columns) uint8.
    """
    height, width = label_map.shape
    size_wh = small_size_wh(height, width, longest)
    if size_wh == (width, height):
        return label_map
    most = np.full(size_wh[::-1], _QUARTER - 1, np.uint8)
    found = np.zeros_like(most)
    for index in np.flatnonzero(areas_px(label_map)[1:]) + 1:
        is_class = cv2.inRange(label_map, int(index), int(index))
        share = cv2.resize(is_class, size_wh, interpolation=cv2.INTER_AREA)
        found[share > most] = index
        np.maximum(most, share, out=most)
    return found


def areas_px(label_map: LabelMap) -> list[int]:
    """Pixels of each of the integers 0 to 255, whatever the size, without room for more."""
    counts = cv2.calcHist([label_map], [0], None, [256], [0, 256])
    return [int(count) for count in counts[:, 0]]
