"""Time and memory of each query strategy: ``python -m benchmarks.strategies``.

Seconds are those of all cores together; with ``OMP_NUM_THREADS=1`` no thread waits for another.

A made-up pool of 50,000 tasks with embeddings of 448 numbers in 200 clumps, 1,000 of them labelled,
three classes of which one is rare; batches of 10, 100 and 500.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from active_learning.strategies import STRATEGY_NAMES, Pool, strategy_by_name

_D = 448
_CLUMPS = 200
_SIZES = (10, 100, 500)
_SHARE_OF_CLASSES = (0.9, 0.3, 0.002)


def made_up_pool(n: int, seed: int) -> Pool:
    """A pool of which everything is known."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(_CLUMPS, _D)).astype(np.float32)
    points = centres[rng.integers(_CLUMPS, size=n)]
    points += 0.7 * rng.standard_normal((n, _D), np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    n_classes = len(_SHARE_OF_CLASSES)
    names = ("entropy", "mutual_information", "pairwise_dice")
    return Pool(
        task_ids=np.arange(n),
        quality=rng.random(n),
        measures={name: rng.random(n) for name in names},
        class_shares=rng.random((n, n_classes)) * (rng.random((n, n_classes)) < _SHARE_OF_CLASSES),
        embeddings=points,
        labelled_embeddings=points[rng.permutation(n)[: n // 50]],
        progress=0.5,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGY_NAMES)
    options = parser.parse_args(arguments)
    pool = made_up_pool(options.tasks, seed=0)
    figures: dict[str, Any] = {}
    for name in options.strategies or STRATEGY_NAMES:
        before = _peak_mib()
        seconds = {}
        for k in _SIZES:
            started = time.process_time()
            strategy_by_name(name)(pool, k, np.random.default_rng(0))
            seconds[f"cpu_s_{k}"] = round(time.process_time() - started, 2)
        figures[name] = {**seconds, "peak_grew_mib": _peak_mib() - before}
    figures["tasks"] = options.tasks
    figures["seed"] = 0
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}"
    figures["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures))


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
