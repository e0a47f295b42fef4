"""Beat: what long work calls between two pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Beat: TypeAlias = Callable[[], None]
"""Makes room for others, and ends the work by raising when it was asked to stop."""
