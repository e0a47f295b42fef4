"""One target in a process of its own.

With atheris what is tried next follows what the last inputs have reached; without it chance alone
does. Each input lies in ``current`` while it is tried, so that whoever looks finds the one at which
this process died; ``found.json`` is written anew every second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

from tests.fuzzing import scratch
from tests.fuzzing.mutate import mutated
from tests.fuzzing.target import Target, judge, peak_mib

try:
    import atheris
except ImportError:
    atheris = None

CURRENT, FOUND, LOG = "current", "found.json", "log"
MOST_BYTES = 1 << 20
"""Largest input."""

SPARE_MIB = 1024
"""Of memory, beside what one input of the target may take."""

HANG_S = 60
"""Seconds after which an input hangs; this process is ended then."""

_OWN = ["domain", "converters", "training", "active_learning", "backend"]


class Session:
    """What was tried so far."""

    def __init__(self, target: Target, seconds: float, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._began = time.process_time()
        self._until = self._began + seconds
        self._told = 0.0
        self._base = peak_mib()
        self.n = 0
        self.slowest_s = 0.0
        self.faults: dict[str, dict[str, Any]] = {}
        with (folder / CURRENT).open("w+b") as file:
            file.truncate(MOST_BYTES + 8)
            self._current = mmap.mmap(file.fileno(), 0)

    def try_(self, data: bytes) -> None:
        """Tries one input; ends the process when its time is over."""
        data = data[:MOST_BYTES]
        self._current[: 8 + len(data)] = len(data).to_bytes(8, "big") + data
        verdict = judge(self._target, data)
        self.n += 1
        self.slowest_s = max(self.slowest_s, verdict.seconds)
        if verdict.fault is not None:
            self._keep(verdict.fault.key, verdict.fault.message, data)
        now = time.process_time()
        if now >= self._told + 1 or now >= self._until:
            self._told = now
            self.tell()
        if now >= self._until:
            os._exit(0)

    def tell(self) -> None:
        """Writes down what was found."""
        found = {
            "inputs": self.n,
            "seconds": round(time.process_time() - self._began, 1),
            "slowest_s": round(self.slowest_s, 3),
            "peak_mb": round(peak_mib() - self._base),
            "faults": self.faults,
        }
        part = self._folder / f"{FOUND}.part"
        part.write_text(json.dumps(found))
        part.replace(self._folder / FOUND)

    def _keep(self, key: str, message: str, data: bytes) -> None:
        known = self.faults.get(key)
        if known is None:
            known = self.faults[key] = {"times": 0, "message": message, "bytes": len(data) + 1}
        known["times"] += 1
        if len(data) < known["bytes"]:  # the smallest says most
            name = f"{self._target.name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
            (self._folder / name).write_bytes(data)
            known |= {"message": message, "bytes": len(data), "file": name}


def loaded() -> dict[str, Target]:
    """All targets; what of nnloop they load tells atheris where it has been."""
    with atheris.instrument_imports(include=_OWN) if atheris else contextlib.nullcontext():
        from tests.fuzzing.targets import TARGETS
    return TARGETS


def work(target: Target, seconds: float, seed: int, folder: Path) -> None:
    """Tries inputs until the time is over, and ends the process."""
    with (folder / LOG).open("wb") as log:  # decoders say what they think of each input
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    (folder / "inputs").mkdir()
    scratch.use(folder / "inputs")
    seeds = tuple(target.seeds())
    for one in seeds:  # what is loaded late counts for nobody
        with contextlib.suppress(Exception):
            target.feed(one)
    _limit_memory(target.most_mib + SPARE_MIB)
    session = Session(target, seconds, folder)
    for one in seeds:
        session.try_(one)
    if atheris is None:
        random_ = random.Random(seed)
        while True:
            session.try_(mutated(random_.choice(seeds), random_, others=seeds))

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, one in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(one)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        random_ = random.Random(number)
        if random_.random() < 0.2:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, random_, others=seeds)[:most]

    options = [
        f"-max_len={MOST_BYTES}",
        f"-seed={seed or 1}",
        f"-timeout={HANG_S}",
        "-rss_limit_mb=0",
        "-malloc_limit_mb=0",
        "-reload=0",
        "-len_control=0",
        "-verbosity=0",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup(["fuzz", *options, str(corpus)], session.try_, custom_mutator=mutate)
    atheris.Fuzz()


def _limit_memory(mib: int) -> None:
    """Past what is mapped by now; a larger request is a MemoryError then, no dead machine."""
    if not Path("/proc/self/statm").exists():
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
