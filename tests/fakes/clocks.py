"""Clocks for tests: the wall's may be set, the monotonic one only goes on."""

from __future__ import annotations

import time

import pytest


class Clocks:
    """In the place of ``time.time`` and ``time.monotonic`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._wall, self._monotonic = time.time(), time.monotonic()
        monkeypatch.setattr(time, "time", lambda: self._wall)
        monkeypatch.setattr(time, "monotonic", lambda: self._monotonic)

    def pass_s(self, seconds: float) -> None:
        """Lets time pass."""
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, seconds: float) -> None:
        """Sets the wall's clock forward, or back where negative."""
        self._wall += seconds
