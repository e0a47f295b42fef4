"""How figures are written in all sections."""

from __future__ import annotations

import time


def figure(value: float | None, digits: int = 3) -> str:
    """A figure; a dash where nothing is known."""
    return "-" if value is None else f"{value:.{digits}f}"


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """``0.84 (0.80 to 0.88)``, both ends within [0, 1]."""
    low, high = max(low, 0.0), min(high, 1.0)
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def moment(seconds: float | None) -> str:
    """A time of this machine's clock: ``2026-11-27 09:40``."""
    if seconds is None:
        return "never"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
