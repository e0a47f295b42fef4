"""How large a pixel is, as a task's data or a person say it."""

from __future__ import annotations

import re
from typing import Any

SPACING_KEY = "spacing"
"""The field of a task's data: (row, column) in millimetres, as DICOM's PixelSpacing."""

_LEAST_MM, _MOST_MM = 1e-6, 1e6


def spacing_from(value: Any) -> tuple[float, float]:
    r"""(vertical, horizontal) size of a pixel in millimetres.

    Args:
        value: A number, a list of one or two, or a text of these with commas, or backslashes as
            DICOM has them.

    Raises:
        ValueError: It is none of these, or a number is not between 1e-6 and 1e6.

    >>> spacing_from(0.1), spacing_from([0.1, 0.2]), spacing_from("0.1, 0.2")
    ((0.1, 0.1), (0.1, 0.2), (0.1, 0.2))
    """
    parts: Any = value
    if isinstance(value, str):
        parts = re.split(r"[,\\]", value.strip().strip("[]()"))
    elif isinstance(value, int | float):
        parts = [value]
    if not isinstance(parts, list | tuple) or len(parts) not in (1, 2):
        raise ValueError(f"{value!r} is not one number or two")
    numbers = [_number(part) for part in parts]
    if not all(_LEAST_MM <= number <= _MOST_MM for number in numbers):
        raise ValueError(f"{value!r} is no size of a pixel")
    return numbers[0], numbers[-1]


def _number(part: Any) -> float:
    if isinstance(part, bool) or not isinstance(part, int | float | str):
        raise ValueError(f"{part!r} is no number")
    try:
        return float(part)
    except OverflowError as error:
        raise ValueError(f"{part!r} is too large") from error
