"""The clock of the store's times, and how they are compared although a clock may be set.

With a database server its clock is that of all machines; with SQLite there is one machine. Whatever
waits until a time of the store's waits no longer than it ever may: a time that is further ahead was
written before the clock was set back. Leases are not compared with any clock
(``store/training/leases.py``).
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, or_

_ahead: list[float] = []


def now() -> float:
    """Seconds since the epoch (UTC), by the database server's clock where there is one.

    That was read when this process's last transaction began, and has gone on since with the
    process's own monotonic clock.
    """
    return time.monotonic() + _ahead[0] if _ahead else time.time()


def set_by_server(seconds: float) -> None:
    """Takes over what the database server's clock says at this moment."""
    _ahead[:] = [seconds - time.monotonic()]


def is_recent(moment: float, span_s: float) -> bool:
    """Whether less than ``span_s`` have passed since a moment; false for one still to come."""
    return 0.0 <= now() - moment < span_s


def is_ahead(moment: float, longest_s: float) -> bool:
    """Whether to wait until a moment, which was never more than ``longest_s`` ahead."""
    return 0.0 < moment - now() <= longest_s


def has_come(column: Any, longest_s: Any) -> ColumnElement[bool]:
    """``not is_ahead`` of a column; of NULL it is NULL, which counts as false.

    ``longest_s`` may be a number, or an expression of the row's other columns.
    """
    moment = now()
    return or_(column <= moment, column > moment + longest_s)
