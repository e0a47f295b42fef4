"""RedisFacts: how a Redis keeps what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEEPS_ALL = "noeviction"
"""The policy under which a full Redis refuses what is new, and forgets nothing."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a Redis says of itself.

    Attributes:
        version: For example ``7.2.4``; "" where it does not say.
        appends: Whether it writes each change into a file.
        writes_well: Whether its last write to the disk succeeded.
        policy: What it forgets when it is full; "" where it does not say.
        used_bytes: Of its memory.
        limit_bytes: Of its memory; 0 = none.
        clock_ahead_s: Seconds by which its clock is ahead of ours, with the way of the answer.
    """

    version: str
    appends: bool
    writes_well: bool
    policy: str
    used_bytes: int
    limit_bytes: int
    clock_ahead_s: float

    @classmethod
    def of(cls, said: Mapping[str, Any], clock_ahead_s: float) -> RedisFacts:
        """Reads the answer to INFO, which servers of other makes answer in part."""
        good = ("ok", "")
        return cls(
            version=str(said.get("redis_version") or said.get("valkey_version") or ""),
            appends=bool(int(said.get("aof_enabled") or 0)),
            writes_well=said.get("aof_last_write_status", "") in good
            and said.get("rdb_last_bgsave_status", "") in good,
            policy=str(said.get("maxmemory_policy") or ""),
            used_bytes=int(said.get("used_memory") or 0),
            limit_bytes=int(said.get("maxmemory") or 0),
            clock_ahead_s=clock_ahead_s,
        )
