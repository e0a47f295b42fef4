"""Durations as people write and read them: 90s, 10m, 1h30m."""

from __future__ import annotations

import math
import re

_PATTERN = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?"
)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``10m``, ``1h30m`` or ``600`` (seconds).

    Raises:
        ValueError: It is none of these, or no time at all.
    """
    match = _PATTERN.fullmatch(text.strip().lower().replace(" ", ""))
    parts = match.groupdict() if match else {}
    seconds = sum(_SECONDS[unit] * float(value) for unit, value in parts.items() if value)
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text!r} is no duration; write e.g. 90s, 10m or 1h30m")
    return seconds


def say_duration(seconds: float) -> str:
    """``45s``, ``1m28s``, ``10m``, ``1h30m``: at most two units, rounded."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 600 and whole % 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes % 60 else f"{minutes // 60}h"
