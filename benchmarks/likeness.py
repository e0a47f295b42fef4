"""Images that look alike, found and not: ``python -m benchmarks.likeness --data DIR ...``.

Of each folder of images: how many pairs look alike, and in how many bits an image differs at most
from itself exported otherwise (JPEG of quality 40, half the size, brighter, other gamma, less
contrast); how many pairs are one picture, of each image and the three nearest by embedding, and the
share of images that are known again cut, turned or exported otherwise; then the time one new image
takes beside 50,000 made-up ones.
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

from backend.pipeline.cases.compare import CANDIDATES
from benchmarks.embedding import CHANGES, turned
from benchmarks.material.sets import SHARED
from converters.images.likeness import ALIKE_BITS, find_alike, fingerprint
from converters.images.same_view import Thumbnail, agreement, is_same_view, thumbnail
from training.nnunet.networks.image_embedding import ImageEmbedding
from training.pretrained import has_weights

SETS = ("ultrasound", "nuclei", "glacier", "insects")

MANY = 50_000

EVERY = 4
"""One in so many images is changed."""

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
    images = _images(folder)
    prints = [int(fingerprint(image) or "0", 16) for image in images]
    furthest = max(
        (value ^ int(fingerprint(other) or "0", 16)).bit_count()
        for value, image in zip(prints, images, strict=True)
        for other in exports_of(image)
    )
    alike = sum((a ^ b).bit_count() <= ALIKE_BITS for k, a in enumerate(prints) for b in prints[:k])
    n = len(images)
    return {"images": n, "pairs": n * (n - 1) // 2, "alike": alike, "furthest_export": furthest}


def measure_views(folder: Path, embedding: ImageEmbedding) -> dict[str, Any]:
    """Which images of a folder are one picture, and which changed ones are known again."""
    images = _images(folder)
    vectors = np.stack([embedding(image) for image in images])
    closeness = vectors @ vectors.T
    np.fill_diagonal(closeness, -np.inf)
    nearest = np.argsort(-closeness, axis=1)[:, :CANDIDATES].tolist()
    small = [thumbnail(image) for image in images]
    pairs = sorted({(min(k, j), max(k, j)) for k, row in enumerate(nearest) for j in row})
    started = time.process_time()
    is_same = [is_same_view(small[k], small[j]) for k, j in pairs]
    spent = time.process_time() - started
    apart = [
        max(agreement(small[k], small[j]), agreement(small[j], small[k]))
        for (k, j), same in zip(pairs, is_same, strict=True)
        if not same
    ]
    changes = {**CHANGES, "turned_10": turned(10.0)}
    return {
        "pairs": len(pairs),
        "one_picture": sum(is_same),
        "furthest_apart": round(max(apart, default=-1.0), 2),
        "known_again": {
            name: round(
                float(
                    np.mean(
                        [
                            _is_known(change(images[k]), k, (vectors, small), embedding)
                            for k in range(0, len(images), EVERY)
                        ]
                    )
                ),
                2,
            )
            for name, change in changes.items()
        },
        "ms_per_pair": round(1000 * spent / len(pairs), 1),
    }


def _is_known(
    changed: Image,
    of: int,
    known: tuple[npt.NDArray[np.float32], list[Thumbnail]],
    embedding: ImageEmbedding,
) -> bool:
    """Whether the original is among the nearest, and is the same picture."""
    vectors, small = known
    nearest = np.argsort(-(vectors @ embedding(changed)))[:CANDIDATES].tolist()
    return of in nearest and is_same_view(small[of], thumbnail(changed))


def _images(folder: Path) -> list[Image]:
    read = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]
    return [one if one.ndim == 2 else one[:, :, :3] for one in read if one is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likeness", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", help="may be repeated")
    options = parser.parse_args(arguments)
    folders = options.data or [
        SHARED / name for name in ("ultrasound", "nuclei", "glacier", "insects")
    ]
    figures: dict[str, Any] = {f.name: measure(f / "images") for f in folders}
    if has_weights():
        embedding = ImageEmbedding()
        figures["views"] = {f.name: measure_views(f / "images", embedding) for f in folders}
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
