"""Percent of an image's side <-> continuous pixel coordinates.

Label Studio stores x as percent of the width and y as percent of the height. Percent p along a
side of n pixels is the coordinate p / 100 * n.
"""

from __future__ import annotations

import numpy as np

from domain.geometry import PIXEL_DECIMALS, Ring

PERCENT_DECIMALS = 9
"""Half a unit of the last digit is less than half a millionth of a pixel up to 100,000 pixels."""


def percent_to_pixels(points: Ring, size_hw: tuple[int, int]) -> Ring:
    """(n, 2) percent (x, y) -> (n, 2) float64 pixels; not clipped.

    A corner that is moved to the border turns the sides that meet in it.
    """
    height, width = size_hw
    sides = np.array([width, height], dtype=np.float64)
    pixels: Ring = np.round(points / 100.0 * sides, PIXEL_DECIMALS)
    return pixels


def pixels_to_percent(points: Ring, size_hw: tuple[int, int]) -> Ring:
    """(n, 2) pixels (x, y) -> (n, 2) float64 percent in [0, 100], clipped to the image."""
    height, width = size_hw
    percent = np.clip(points / np.array([width, height], dtype=np.float64) * 100.0, 0.0, 100.0)
    return np.round(percent, PERCENT_DECIMALS)


def point_to_pixels(x: float, y: float, size_hw: tuple[int, int]) -> tuple[float, float]:
    """A point (x, y) in percent -> pixels; not clipped."""
    width_px, height_px = lengths_to_pixels(x, y, size_hw)
    return width_px, height_px


def lengths_to_pixels(across: float, down: float, size_hw: tuple[int, int]) -> tuple[float, float]:
    """Lengths in percent of the width and of the height -> pixels."""
    height, width = size_hw
    return round(across / 100.0 * width, PIXEL_DECIMALS), round(
        down / 100.0 * height, PIXEL_DECIMALS
    )


def lengths_to_percent(across: float, down: float, size_hw: tuple[int, int]) -> tuple[float, float]:
    """Lengths in pixels along the width and the height -> percent of each; not clipped."""
    height, width = size_hw
    return round(across / width * 100.0, PERCENT_DECIMALS), round(
        down / height * 100.0, PERCENT_DECIMALS
    )
