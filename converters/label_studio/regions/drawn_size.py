"""The size of the image that a region was drawn on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from converters.label_studio.regions.drawing import RegionError
from converters.label_studio.regions.value import is_number, number_of_text
from domain.text import shown

REMEDIES = {
    "size_mismatch": "The image seems to have been turned since; put back the one that was "
    "annotated.",
}
"""What to do about an error of this module, by its reason."""

_ASPECT_TOLERANCE = math.log(1.02)
"""Sides are rounded to whole pixels when an image is scaled, so ratios agree only nearly."""


def drawn_sides(entry: Mapping[str, Any]) -> tuple[object, object] | None:
    """(width, height) that an entry says, whatever that is; None if it doesn't say both."""
    width, height = map(number_of_text, map(entry.get, ("original_width", "original_height")))
    return None if width is None or height is None else (width, height)


def drawn_size_hw(entry: Mapping[str, Any], size_hw: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in pixels that an entry says; ``size_hw``, the image's, if it says none.

    Raises:
        RegionError: if it says nonsense, or (``size_mismatch``) the image turned by 90 degrees.
    """
    said = drawn_sides(entry)
    if said is None:
        return size_hw
    drawn_w, drawn_h = said
    if not (is_number(drawn_w) and is_number(drawn_h) and drawn_w >= 1 and drawn_h >= 1):
        raise RegionError(f"was drawn on an image of size {shown(drawn_w)} x {shown(drawn_h)}")
    height, width = size_hw
    drawn, real = math.log(drawn_w / drawn_h), math.log(width / height)
    if abs(drawn + real) <= _ASPECT_TOLERANCE < abs(drawn - real):
        raise RegionError(
            f"was drawn on an image of {drawn_w} x {drawn_h} pixels, but the image now is "
            f"{width} x {height}",
            "size_mismatch",
        )
    return round(drawn_h), round(drawn_w)
