"""How long something has stood still, by the clock of who looks at it.

Clocks of several machines differ, and any of them may be set. How long a value did not change can
be told without comparing two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable


class Stillness:
    """Remembers when each value was seen first. For one process; not thread-safe.

    Args:
        clock: Seconds that nobody can set.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: time.monotonic())
        self._since: dict[Hashable, tuple[object, float]] = {}

    def seconds(self, key: Hashable, value: object) -> float:
        """For how long ``key`` was seen to have this value; 0.0 where it had another before."""
        now = self._clock()
        known = self._since.get(key)
        if known is None or known[0] != value:
            self._since[key] = (value, now)
            return 0.0
        return now - known[1]

    def keep(self, keys: Collection[Hashable]) -> None:
        """Forgets all but these."""
        self._since = {key: self._since[key] for key in keys if key in self._since}

    def forget(self, key: Hashable) -> None:
        """Forgets one, which need not be known."""
        self._since.pop(key, None)
