"""How long something has stood still, by the clock of who looks at it.

Clocks of several machines differ, and any of them may be set. How long a value did not change can
be told without comparing two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass

LONGEST_LOOK_S = 5.0
"""So much of the time between two looks counts. Who looks may have stood still itself, with all
others: then they get the time to go on first."""


@dataclass(slots=True)
class _Seen:
    value: object
    last_at: float
    seconds: float = 0.0


class Stillness:
    """Remembers for how long each value was seen. For one process; not thread-safe.

    Args:
        clock: Seconds that nobody can set.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: time.monotonic())
        self._seen: dict[Hashable, _Seen] = {}

    def seconds(self, key: Hashable, value: object) -> float:
        """For how long ``key`` was seen to have this value; 0.0 where it had another before."""
        now = self._clock()
        known = self._seen.get(key)
        if known is None or known.value != value:
            known = self._seen[key] = _Seen(value, now)
        known.seconds += min(now - known.last_at, LONGEST_LOOK_S)
        known.last_at = now
        return known.seconds

    def keep(self, keys: Collection[Hashable]) -> None:
        """Forgets all but these."""
        self._seen = {key: self._seen[key] for key in keys if key in self._seen}
