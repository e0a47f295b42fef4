from __future__ import annotations

import numpy as np
import pytest

from converters.images.channels import stack_channels
from domain.errors import ImageError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
RGB = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def test_one_image_stays_as_it_is() -> None:
    assert stack_channels({"a": RGB}, 1) is RGB


def test_grey_images_are_stacked_in_order() -> None:
    stacked = stack_channels({"a": GREY, "b": GREY + 1, "c": GREY + 2}, 1)
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked[..., 2], GREY + 2)


def test_colour_makes_all_three_channels() -> None:
    stacked = stack_channels({"a": GREY, "b": RGB}, 1)
    np.testing.assert_array_equal(stacked, np.dstack([GREY, GREY, GREY, RGB]))


def test_16_bits_keep_every_value() -> None:
    deep = GREY.astype(np.uint16) * 5000
    stacked = stack_channels({"a": GREY, "b": deep}, 1)
    assert stacked.dtype == np.uint16
    np.testing.assert_array_equal(stacked, np.dstack([GREY, deep]))


def test_sizes_must_agree() -> None:
    with pytest.raises(ImageError, match=r"Task 9: .*'b' has 4 x 2 pixels, but 'a' has 4 x 3") as e:
        stack_channels({"a": GREY, "b": RGB[:2]}, 9)
    assert e.value.reason == "channel_sizes"
