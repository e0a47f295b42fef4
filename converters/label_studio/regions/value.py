"""Checked access to a region's ``value``: numbers, points, sane sizes."""

from __future__ import annotations

import re
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from converters.label_studio.regions.drawing import RegionError
from domain.geometry import Ring
from domain.text import shown

Value: TypeAlias = dict[str, Any]

LARGEST_NUMBER = 1e9
"""Larger percentages or image sizes are no drawing's."""

MAX_POINTS = 200_000
"""Points in one region; a mask's outline in a 4K image has fewer."""


def is_number(value: object) -> TypeGuard[int | float]:
    """A number of sane size: no bool, no NaN, no infinity, no integer too large for a float."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    )


def number_of_text(value: object) -> object:
    """A number that scripts wrote as a text (``"640"``) as a number; anything else as it is."""
    is_one = isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", value, re.ASCII)
    return float(str(value)) if is_one else value


def number(value: Value, key: str, default: float | None = None) -> float:
    """``value[key]`` as a float.

    Raises:
        RegionError: if it is no number, or missing without a default.
    """
    found = value.get(key, default)
    if found is None and default is not None:
        found = default
    if not is_number(found):
        raise RegionError(f"has the {key} {shown(found)}, which is no number")
    return float(found)


def size(value: Value, key: str) -> float:
    """``value[key]`` as a float that is 0 or more."""
    found = number(value, key)
    if found < 0:
        raise RegionError(f"has the {key} {found:g}, which is negative")
    return found


def points(value: Value, key: str) -> Ring:
    """``value[key]``, a list of [x, y] in percent, as (n, 2) float64.

    Raises:
        RegionError: if it is none, or has more than ``MAX_POINTS`` points.
    """
    found = value.get(key)
    if not isinstance(found, list):
        raise RegionError(f"has {key} that are no list of number pairs")
    check_count(len(found))
    if not all(
        isinstance(point, list | tuple) and len(point) == 2 and all(map(is_number, point))
        for point in found
    ):
        raise RegionError(f"has {key} that are no list of number pairs")
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def check_count(n_points: int, limit: int = MAX_POINTS) -> None:
    """RegionError beyond the limit."""
    if n_points > limit:
        raise RegionError(f"has {n_points:,} points; the limit is {limit:,}", "too_large")
