"""How figures are written in all sections."""

from __future__ import annotations

import time


def figure(value: float | None, digits: int = 3) -> str:
    """A figure; a dash where nothing is known."""
    return "-" if value is None else f"{value:.{digits}f}"


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """``0.84 (0.80 to 0.88)``, both ends within [0, 1]."""
    return f"{value:.{digits}f} ({within(low, high, digits)})"


def within(low: float, high: float, digits: int = 2) -> str:
    """``0.80 to 0.88``, both ends within [0, 1]."""
    return f"{max(low, 0.0):.{digits}f} to {min(high, 1.0):.{digits}f}"


def percent(share: float) -> str:
    """A share in [0, 1] as ``15 %``."""
    return f"{100 * share:.0f} %"


def moment(seconds: float) -> str:
    """A time of this machine's clock: ``2026-11-27 09:40``."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
