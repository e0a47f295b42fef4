"""Images as squares of a few pixels, to be looked at as a whole."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def to_square(image: npt.NDArray[Any], side: int) -> npt.NDArray[np.float32]:
    """An image's channels at a small size; its shape is not kept.

    Args:
        image: (height, width) or (height, width, channels), of any number type, at least 1 x 1.
        side: Pixels along both sides of the result.

    Returns:
        (channels, side, side): means over areas, in the image's own units.
    """
    channels = image[:, :, np.newaxis] if image.ndim == 2 else image
    small = np.empty((channels.shape[2], side, side), np.float32)
    # One by one: OpenCV takes four at most, and a large image is not copied as a whole.
    for index, square in enumerate(small):
        values = channels[:, :, index].astype(np.float32)
        cv2.resize(values, (side, side), dst=square, interpolation=cv2.INTER_AREA)
    return small
