"""What a large image takes from logits to polygons: ``python -m benchmarks.large_images``.

An image of 3840 x 2160 and one of 80 megapixels (10000 x 8000), 5 folds and 5 classes besides
background. The networks' answers are generated at the size at which a preset works (longest side
``--side``, 512 by default), since networks on small images take no memory; from there on everything
is what the scoring of a task does: maps at full size, their mean, score, label map and polygons.
Each image is worked on in a process of its own, whose peak memory (Linux's VmHWM, less what was
there before) and processor time are measured. ``anonymous_mib`` leaves out pages of the temporary
file, which the system may write back and drop.

``--memory`` is NNLOOP_IMAGE_MEMORY_MIB; ``--whole`` works on each image in one piece, in memory.
The generated classes are blobs of about a twentieth of the image's side. Keys:
``images{name: {peak_mib, anonymous_mib, cpu_s{statistics, vectorize}, score, regions}}``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIZES = {"4k": (2160, 3840), "80mp": (8000, 10_000)}
"""Name -> (height, width)."""

N_FOLDS = 5
N_CLASSES = 6
SEED = 0
_POLL_S = 0.02


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="Memory and time of large images.")
    parser.add_argument("--memory", type=int, default=512, help="NNLOOP_IMAGE_MEMORY_MIB")
    parser.add_argument("--side", type=int, default=512, help="longest side networks work at")
    parser.add_argument("--whole", action="store_true", help="in one piece, in memory")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--one", choices=SIZES, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    memory_bytes = 2**50 if given.whole else given.memory * 2**20
    if given.one:
        print(json.dumps(measure(SIZES[given.one], given.side, memory_bytes)))
        return
    images = {}
    for name in given.sizes:
        command = [sys.executable, "-m", "benchmarks.large_images", "--one", name]
        command += ["--memory", str(given.memory), "--side", str(given.side)]
        command += ["--whole"] if given.whole else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            # Killed for memory, say: that is a result, too.
            images[name] = {"failed": done.returncode}
            continue
        images[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, json.dumps(images[name]), flush=True)
    settings = {
        "folds": N_FOLDS,
        "classes": N_CLASSES,
        "side": given.side,
        "memory_mib": None if given.whole else given.memory,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "seed": SEED,
    }
    print(json.dumps({"images": images, "settings": settings}))


def measure(size_hw: tuple[int, int], side: int, memory_bytes: int) -> dict[str, Any]:
    """The figures of one image, in this process."""
    from active_learning.measures import measure_image
    from converters.outlines.vectorize import vectorize
    from domain.prediction import FoldProbabilities
    from training.nnunet.inference.maps import FoldMaps
    from training.nnunet.inference.stretching import StretchedMaps

    stretched = StretchedMaps(logits(size_hw, side), size_hw)

    def of(rows: slice) -> FoldProbabilities:
        powers = stretched.rows(rows)
        np.exp(powers, out=powers)
        powers /= powers.sum(axis=1, keepdims=True)
        return powers

    maps = FoldMaps((of,), N_FOLDS, N_CLASSES, size_hw, memory_bytes)
    before = _memory_mib()
    with _Watch() as watch:
        started = time.process_time()
        mean = maps.room()

        def averaged() -> Any:
            for rows, block in maps.blocks():
                block.mean(axis=0, out=mean[:, rows])
                yield block

        measures = measure_image(averaged())
        half = time.process_time()
        regions = vectorize(mean, range(1, N_CLASSES))
        ended = time.process_time()
    return {
        "peak_mib": round(_status_mib("VmHWM") - sum(before)),
        "anonymous_mib": round(watch.peak_mib - before[0]),
        "cpu_s": {"statistics": round(half - started, 1), "vectorize": round(ended - half, 1)},
        "soft_dice": round(measures.soft_dice, 6),
        "regions": len(regions),
    }


def logits(size_hw: tuple[int, int], side: int) -> npt.NDArray[np.float32]:
    """(fold, class, height, width) float32: smooth blobs, the folds a little apart."""
    import cv2

    rng = np.random.default_rng(SEED)
    scale = side / max(size_hw)
    height, width = (max(1, round(length * scale)) for length in size_hw)
    coarse_hw = max(2, height * 20 // side), max(2, width * 20 // side)
    common = rng.normal(0, 3, (N_CLASSES, *coarse_hw))
    found = np.empty((N_FOLDS, N_CLASSES, height, width), np.float32)
    for fold in found:
        for out, base in zip(fold, common, strict=True):
            noisy = (base + rng.normal(0, 0.5, coarse_hw)).astype(np.float32)
            out[:] = cv2.resize(noisy, (width, height), interpolation=cv2.INTER_CUBIC)
    return found


class _Watch:
    """The most anonymous memory within the block, looked at 50 times a second."""

    def __enter__(self) -> _Watch:
        self.peak_mib, self._is_over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(_POLL_S):
            self.peak_mib = max(self.peak_mib, _status_mib("RssAnon"))


def _memory_mib() -> tuple[float, float]:
    """Anonymous and file pages in memory now."""
    return _status_mib("RssAnon"), _status_mib("RssFile")


def _status_mib(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
