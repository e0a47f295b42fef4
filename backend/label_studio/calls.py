"""Calls: the base of every group of calls."""

from __future__ import annotations

from backend.label_studio.connection import Connection


class Calls:
    """A group of calls over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
