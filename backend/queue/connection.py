"""What all processes at one Redis agree upon: heartbeats, and the data folder they work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from domain.errors import StackError

# A worker says every few seconds that it lives; after this many it counts as dead. Short, because
# the jobs of a killed worker wait that long; long enough for a machine that swaps.
HEARTBEAT_S = 4
HEARTBEAT_TTL_S = 15
# Redis answers within milliseconds; one that is cut off must not hold up a tick for minutes.
SOCKET_TIMEOUT_S = 10.0
HEARTBEAT_KEY = "nnloop:worker:{name}"
# The workers that died at a job since one last came to its end.
DEATHS_KEY = "nnloop:deaths:{job}"
# Which data folder the processes at this Redis work on; forgotten soon after the last one ended.
INSTALLATION_KEY = "nnloop:installation"
_INSTALLATION_TTL_S = 2 * HEARTBEAT_TTL_S


def claim(redis: Redis, installation: str) -> None:
    """Says that processes on this data folder are at work; StackError where others are."""
    if not installation:
        return
    if redis.set(INSTALLATION_KEY, installation, ex=_INSTALLATION_TTL_S, nx=True):
        return
    _shorten(redis, INSTALLATION_KEY, _INSTALLATION_TTL_S)
    found = redis.get(INSTALLATION_KEY)
    if found is not None and text_of(found) != installation:
        raise StackError(
            "Other processes of nnloop at this Redis use another data folder, so neither side "
            "would find what the other has made.",
            remedy="Let all of them share one folder (NNLOOP_DATA_DIR on one disk or volume), or "
            "give each installation a Redis of its own; after a move of the folder, stop all "
            f"processes and wait {_INSTALLATION_TTL_S} s.",
        )
    redis.expire(INSTALLATION_KEY, _INSTALLATION_TTL_S)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turns Redis' errors into StackError."""
    try:
        yield
    except ResponseError as error:
        raise StackError(
            f"Redis refuses what nnloop asks of it ({type(error).__name__}: {error}).",
            remedy="See its memory (maxmemory), its disk and whether it is a read-only replica "
            "(redis-cli INFO); nnloop goes on by itself once it is mended.",
        ) from error
    except RedisError as error:
        raise StackError(
            f"Redis does not answer ({type(error).__name__}: {error}).",
            remedy="Start it, or correct NNLOOP_REDIS_URL; `nnloop up` starts one of its own.",
        ) from error


def is_alive(redis: Redis, worker: str) -> bool:
    """Whether a worker lives, by its name: its heartbeat is there.

    Redis forgets it by its own clock. Where that was set back, a dead worker would live for as
    long: a heartbeat that would stay for longer than any does is shortened.
    """
    key = HEARTBEAT_KEY.format(name=worker)
    _shorten(redis, key, HEARTBEAT_TTL_S)
    return bool(redis.exists(key))


def _shorten(redis: Redis, key: str, longest_s: int) -> None:
    if redis.ttl(key) > longest_s:
        redis.expire(key, longest_s)


def text_of(value: Any) -> str:
    """A value of Redis' as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
