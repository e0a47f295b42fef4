from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.cli.shared import console

Terminal = Callable[[int], None]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Lets what is printed stand on a terminal of so many columns, without colours."""

    def of_width(columns: int) -> None:
        monkeypatch.setattr(console, "_force_terminal", True)
        monkeypatch.setattr(console, "_color_system", None)
        monkeypatch.setattr(console, "_width", columns)

    return of_width
