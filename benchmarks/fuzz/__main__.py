"""Fuzzes the parsers of outside data: ``python -m benchmarks.fuzz [--seconds S] [TARGET ...]``.

Each target (``tests/fuzzing/targets``) runs in a process of its own, with a limit on memory, one
after the other. A target that kills its process or hangs is started again for what is left of its
time. Inputs that show a fault lie in ``bench-results/fuzz``. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.fuzz.child import CURRENT, FOUND, HANG_S, LOG, loaded, work
from tests.fuzzing.scratch import PLACE
from tests.fuzzing.target import Target

LONG = True

KEPT = Path(__file__).resolve().parents[2] / "bench-results" / "fuzz"
_MOST_DEATHS = 20
_START_S = 120.0
"""Seconds that loading may take."""

_PATIENCE = 10
"""A second of processor time may take so many on a busy machine."""


def fuzz(target: Target, seconds: float, seed: int) -> dict[str, Any]:
    """Figures of one target."""
    total: dict[str, Any] = {"inputs": 0, "slowest_s": 0.0, "peak_mb": 0, "faults": {}}
    left = seconds
    for attempt in range(_MOST_DEATHS):
        with tempfile.TemporaryDirectory(prefix="nnloop-fuzz-", dir=PLACE) as made:
            folder = Path(made)
            end = _run(target, left, seed + attempt, folder)
            left -= _add(total, folder, target.name, end)
        if not end or left < 1:
            break
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the targets named, by default all; 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all without")
    parser.add_argument("--seconds", type=float, default=30.0, help="of processor time, for each")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    targets = loaded()
    unknown = sorted(set(args.targets) - set(targets))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; there are: {', '.join(targets)}")
    KEPT.mkdir(parents=True, exist_ok=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    found = {}
    for name in args.targets or targets:
        found[name] = one = fuzz(targets[name], args.seconds, args.seed)
        print(
            f"{name}: {one['inputs']:,} inputs, {len(one['faults'])} faults, slowest "
            f"{one['slowest_s']} s, {one['peak_mb']} MB",
            flush=True,
        )
        for key, fault in one["faults"].items():
            print(f"  {key}: {fault['message']} ({fault['times']} times, {fault.get('file')})")
    n_faults = sum(len(one["faults"]) for one in found.values())
    figures = {
        "inputs": sum(one["inputs"] for one in found.values()),
        "faults": n_faults,
        "seconds": round(time.monotonic() - began),
        "guided_by": _guide(),
        "seed": args.seed,
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "targets": {name: {**one, "faults": sorted(one["faults"])} for name, one in found.items()},
    }
    print(json.dumps(figures))
    return int(n_faults > 0)


def _guide() -> str:
    try:
        return f"atheris {importlib.metadata.version('atheris')}"
    except importlib.metadata.PackageNotFoundError:
        return "chance"


def _run(target: Target, seconds: float, seed: int, folder: Path) -> str:
    """How it ended; "" when its time was over."""
    # What was loaded once need not be loaded for each of them.
    child = get_context("fork").Process(target=work, args=(target, seconds, seed, folder))
    child.start()
    child.join(_PATIENCE * seconds + _START_S + HANG_S)
    if child.is_alive():
        child.kill()
        child.join()
        return "hangs"
    if child.exitcode == 0:
        return ""
    if not (folder / CURRENT).exists():
        log = (folder / LOG).read_text(errors="replace")
        raise SystemExit(f"{target.name} did not start:\n{log[-3000:]}")
    return f"the process died ({child.exitcode})"


def _add(total: dict[str, Any], folder: Path, name: str, end: str) -> float:
    """Adds what a child has found; the seconds that it used."""
    path = folder / FOUND
    found = json.loads(path.read_bytes()) if path.exists() else {}
    total["inputs"] += found.get("inputs", 0)
    for key in ("slowest_s", "peak_mb"):
        total[key] = max(total[key], found.get(key, 0))
    faults = found.get("faults", {})
    if end:
        raw = (folder / CURRENT).read_bytes()
        data = raw[8 : 8 + int.from_bytes(raw[:8], "big")]
        kept = f"{name}-{hashlib.sha256(data).hexdigest()[:8]}"
        (folder / kept).write_bytes(data)
        faults[end] = {"times": 1, "message": end, "bytes": len(data), "file": kept}
    for key, fault in faults.items():
        if "file" in fault:
            shutil.copy(folder / fault["file"], KEPT / fault["file"])
        known = total["faults"].setdefault(key, {**fault, "times": 0})
        known["times"] += fault["times"]
    return float(found.get("seconds", 0.0)) + 1.0


if __name__ == "__main__":
    sys.exit(main())
