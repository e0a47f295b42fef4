"""What the settings about notices may be."""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

EVENTS = ("promoted", "refused", "failed", "cancelled")
"""What somebody may be told of a training."""


def events_of(text: str) -> tuple[str, ...]:
    """Names of events, separated by commas.

    Raises:
        ValueError: One of them is none.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if wrong := [name for name in names if name not in EVENTS]:
        raise ValueError(f"must be some of {', '.join(EVENTS)}, got {', '.join(wrong)}")
    return names


def check_command(text: str) -> None:
    """Raises ValueError for words that no command can be made of; what they are is not said."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"is no command: {error}") from None
    if text and not words:
        raise ValueError("is no command: there is no word in it")


def check_url(text: str) -> None:
    """Raises ValueError for what is no http(s) address; what it is is not said."""
    try:
        parts = urlsplit(text)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_fit = False
    if text and not is_fit:
        raise ValueError("must be an http(s) address")
