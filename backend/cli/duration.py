"""Durations as people write and read them: 90s, 10m, 1h30m."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from backend.cli.setting_options import TRAINING

_PATTERN = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?"
)
NO_BUDGET = 0.0
"""What people write as ``none``."""

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_budget(text: str) -> float:
    """As ``parse_duration``; ``none`` is ``NO_BUDGET``."""
    return NO_BUDGET if text.strip().lower() == "none" else parse_duration(text)


def budget_override(budget: float | None) -> dict[str, float | None]:
    """The setting that an option gives: nothing when it was not given, None for no budget."""
    return {} if budget is None else {"budget_s": budget or None}


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``10m``, ``1h30m`` or ``600`` (seconds).

    Raises:
        typer.BadParameter: It is none of these, or no time at all.
    """
    match = _PATTERN.fullmatch(text.strip().lower().replace(" ", ""))
    parts = match.groupdict() if match else {}
    seconds = sum(_SECONDS[unit] * float(value) for unit, value in parts.items() if value)
    if seconds <= 0:
        raise typer.BadParameter(f"{text!r} is no duration; write e.g. 90s, 10m or 1h30m.")
    return seconds


def say_duration(seconds: float) -> str:
    """``45s``, ``10m``, ``1h30m``: at most two units, rounded."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole}s"
    if whole < 600 and whole % 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes % 60 else f"{minutes // 60}h"


Budget = Annotated[
    float | None,
    typer.Option(
        parser=parse_budget,
        metavar="DURATION",
        help="Time the training of all folds may take: 90s, 10m, 1h30m; or none.",
        show_default=False,
        rich_help_panel=TRAINING,
    ),
]
