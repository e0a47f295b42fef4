"""Images shrunk to a square."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from converters.images.shrink import to_square


def test_means_over_areas_of_each_channel() -> None:
    image = np.zeros((4, 8, 2), np.uint16)
    image[:2, :4, 0] = 40_000
    image[:, 4:, 1] = 300
    small = to_square(image, 2)
    np.testing.assert_array_equal(small[0], [[40_000, 0], [0, 0]])
    np.testing.assert_array_equal(small[1], [[0, 300], [0, 300]])


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 1), 7, np.uint8),
        np.full((3, 3, 5), 7, np.uint8),  # more channels than OpenCV takes, and its very size
        np.full((500, 2, 1), 7, np.uint16),
        np.full((3, 3), 7, np.uint8)[::-1, ::-1],
    ],
)
def test_any_size_and_number_of_channels(image: npt.NDArray[np.uint8]) -> None:
    small = to_square(image, 3)
    assert small.dtype == np.float32
    n_channels = 1 if image.ndim == 2 else image.shape[2]
    np.testing.assert_array_equal(small, np.full((n_channels, 3, 3), 7.0))
