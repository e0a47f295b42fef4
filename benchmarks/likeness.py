"""Images that look alike, found and not: ``python -m benchmarks.likeness --data DIR ...``.

Of each folder of images: how many pairs look alike, and in how many bits an image differs at most
from itself exported otherwise (JPEG of quality 40, half the size, brighter, other gamma, less
contrast); then the time one new image takes beside 50,000 made-up ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.material.sets import SHARED
from converters.images.likeness import ALIKE_BITS, find_alike, fingerprint

MANY = 50_000

Image = npt.NDArray[Any]


def exports_of(image: Image) -> list[Image]:
    """The same image, written otherwise; (height, width) or (height, width, 3) uint8."""
    values = image.astype(np.float32)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    changed = (values * 1.2, 255.0 * (values / 255.0) ** 0.7, (values - 128.0) * 0.7 + 128.0)
    return [
        cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED),
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        *(np.clip(one, 0, 255).astype(np.uint8) for one in changed),
    ]


def measure(folder: Path) -> dict[str, int]:
    """Figures of a folder of images."""
    images = [
        np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        for path in sorted((folder / "images").iterdir())
    ]
    prints = [int(fingerprint(image) or "0", 16) for image in images]
    furthest = max(
        (value ^ int(fingerprint(other) or "0", 16)).bit_count()
        for value, image in zip(prints, images, strict=True)
        for other in exports_of(image)
    )
    alike = sum((a ^ b).bit_count() <= ALIKE_BITS for k, a in enumerate(prints) for b in prints[:k])
    n = len(images)
    return {"images": n, "pairs": n * (n - 1) // 2, "alike": alike, "furthest_export": furthest}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likeness", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", help="may be repeated")
    options = parser.parse_args(arguments)
    folders = options.data or [SHARED / name for name in ("ultrasound", "nuclei", "glacier")]
    figures: dict[str, Any] = {folder.name: measure(folder) for folder in folders}
    rng = np.random.default_rng(0)
    prints = {f"{k:05d}": rng.bytes(32).hex() for k in range(MANY)}
    started = time.process_time()
    find_alike(prints, {}, sorted(prints)[:200])
    figures["ms_per_new_beside_50000"] = round((time.process_time() - started) / 200 * 1000, 1)
    figures["seed"] = 0
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}"
    figures["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
