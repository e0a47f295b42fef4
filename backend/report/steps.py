"""What the writing of a report says while it goes on."""

from __future__ import annotations

from typing import Protocol


class OnStep(Protocol):
    """Is told what is being done: ``on_step("Fetching images", 3, 12)``."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """``done`` of ``total`` things; 0 of 0 where there is nothing to count."""
        ...


def tell_nobody(what: str, done: int = 0, total: int = 0) -> None:
    """An ``OnStep`` for who does not watch."""
