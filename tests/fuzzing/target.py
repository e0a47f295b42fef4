"""A parser of outside data, and what counts as a fault of it."""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.annotation import LeftOut
from domain.errors import NnloopError

_ROOT = str(Path(__file__).resolve().parents[2])
_IS_MAC = sys.platform == "darwin"


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    ``seeds`` are small valid inputs, ``feed`` parses one input and uses what it found as nnloop
    does. It may raise what ``allowed`` names; anything else is a fault, and so is more than
    ``most_s`` seconds of processor time or ``most_mib`` of memory for one input.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    feed: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...] = (NnloopError,)
    most_s: float = 20.0
    most_mib: int = 256


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, and where; ``key`` is equal for faults of one cause."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one input: seconds of processor time, MiB by which the peak rose, and the fault if any."""

    seconds: float
    mib: float
    fault: Fault | None = None


def judge(target: Target, data: bytes) -> Verdict:
    """Feeds one input."""
    fault, peak, began = None, peak_mib(), time.process_time()
    try:
        target.feed(data)
    except target.allowed as error:
        fault = _unsayable(error)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        fault = _of(error)
    seconds, mib = time.process_time() - began, peak_mib() - peak
    if fault is None and seconds > target.most_s:
        fault = Fault("slow", f"{seconds:.1f} s of processor time")
    if fault is None and mib > target.most_mib:
        fault = Fault("large", f"{mib:.0f} MiB")
    return Verdict(seconds, mib, fault)


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if _IS_MAC else 2**10)


def say(found: Iterable[object]) -> None:
    """Consumes what a reader yields; every sentence for a person must be one that can be written.

    Raises:
        UnicodeEncodeError: It has half a character in it: no terminal and no store takes it.
    """
    for one in found:
        if isinstance(one, LeftOut):
            one.in_full.encode()


def parsed(data: bytes) -> Any:
    """JSON as whoever hands it on has parsed it; None for what is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _unsayable(error: Exception) -> Fault | None:
    try:
        (error.in_full if isinstance(error, NnloopError) else str(error)).encode()
    except UnicodeEncodeError:
        return Fault(f"unsayable at {_place(error)}", ascii(str(error))[:300])
    return None


def _of(error: Exception) -> Fault:
    return Fault(f"{type(error).__name__} at {_place(error)}", ascii(str(error))[:300])


def _place(error: Exception) -> str:
    """The innermost line of nnloop's own; parsers of libraries have many."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if frame.filename.startswith(_ROOT)
        and "site-packages" not in frame.filename
        and "/tests/fuzzing/target.py" not in frame.filename
    ]
    frame = (own or frames)[-1]
    return f"{frame.filename.removeprefix(_ROOT + '/')}:{frame.lineno}"
