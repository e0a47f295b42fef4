"""Cubic Bezier curves -> points."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from domain.geometry import Ring

TOLERANCE_PX = 0.01
"""Largest distance between the curve and its chords."""

_MAX_CHORDS = 256
"""Enough for curves that bend over hundreds of pixels; wilder ones are drawn less finely."""

Point = npt.NDArray[np.float64]


def flatten(start: Point, first: Point, second: Point, end: Point) -> Ring:
    """Points on the curve, at most ``TOLERANCE_PX`` from it.

    A chord over a parameter step h is at most h^2 / 8 times the largest second derivative away
    (linear interpolation error), and that of a cubic lies at one of its ends.

    Args:
        start: (x, y), the first point.
        first: the control point of ``start``.
        second: the control point of ``end``.
        end: (x, y), the last point.

    Returns:
        (n, 2) float64, both ends included.
    """
    bend = 6 * max(
        float(np.hypot(*(start - 2 * first + second))), float(np.hypot(*(first - 2 * second + end)))
    )
    n_chords = min(max(math.ceil(math.sqrt(bend / (8 * TOLERANCE_PX))), 1), _MAX_CHORDS)
    t = np.linspace(0.0, 1.0, n_chords + 1)[:, np.newaxis]
    s = 1 - t
    curve: Ring = s**3 * start + 3 * s**2 * t * first + 3 * s * t**2 * second + t**3 * end
    curve[0], curve[-1] = start, end
    return curve
