"""What embeddings of images see: ``python -m benchmarks.embedding --data DIR ...``.

Of each folder of images and masks: how well the label map of the nearest other image fits (mean
Dice of the classes at 64 x 64 pixels), by embedding, by fingerprint, and of one at random; and how
well the best of the images that a strategy would label first fits, mean over 20 seeds. Over all
folders: the share of changed images (exported again, cut, turned) that are known as theirs, by
embedding and by fingerprint, at as many pairs of different images that count as alike. The time of
one image.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from active_learning.strategies import strategy_by_name, unpredicted
from active_learning.strategies.embedded import SAME
from benchmarks.material.sets import SHARED
from converters.images.likeness import ALIKE_BITS, fingerprint
from training.nnunet.networks.image_embedding import ImageEmbedding

Image = npt.NDArray[Any]
Vectors = npt.NDArray[np.float64]
Change = Callable[[Image], Image]

_MAP_SIDE = 64
_FIRST_BATCHES = (5, 10, 20)
_SEEDS = 20
_EVERY = 4
"""One in so many images is changed."""


def jpeg(quality: int) -> Change:
    """Written as JPEG."""

    def change(image: Image) -> Image:
        written = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(written, cv2.IMREAD_UNCHANGED))

    return change


def grey(function: Callable[[Vectors], Vectors]) -> Change:
    """Other grey values."""
    return lambda image: np.clip(function(image.astype(np.float64)), 0, 255).astype(np.uint8)


def cut(share: float) -> Change:
    """Without half of this share of the rows and columns on each side."""

    def change(image: Image) -> Image:
        y, x = (int(side * share / 2) for side in image.shape[:2])
        return image[y : image.shape[0] - y, x : image.shape[1] - x]

    return change


def turned(degrees: float) -> Change:
    """Turned about its centre, the corners mirrored in."""

    def change(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        return np.asarray(
            cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        )

    return change


CHANGES: dict[str, Change] = {
    "jpeg_90": jpeg(90),
    "jpeg_40": jpeg(40),
    "half": lambda image: np.asarray(
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    ),
    "brighter": grey(lambda values: 1.2 * values),
    "gamma": grey(lambda values: 255 * (values / 255) ** 0.7),
    "contrast": grey(lambda values: 128 + 0.7 * (values - 128)),
    "cut_5": cut(0.05),
    "cut_10": cut(0.1),
    "cut_20": cut(0.2),
    "turned_3": turned(3.0),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
}


def bits_of(image: Image) -> Vectors:
    """The fingerprint: squared distances are then numbers of bits."""
    digits = fingerprint(image) or "0" * 64
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8)).astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", help="may be repeated")
    options = parser.parse_args(arguments)
    folders = options.data or [SHARED / name for name in ("ultrasound", "nuclei", "glacier")]
    torch.set_num_threads(1)
    embedding = ImageEmbedding()
    kinds: dict[str, Callable[[Image], Vectors]] = {
        "fingerprint": bits_of,
        "embedding": lambda image: embedding(image).astype(np.float64),
    }
    images = {folder.name: _images(folder / "images") for folder in folders}
    figures: dict[str, Any] = {
        folder.name: _nearest_maps(folder, images, kinds) for folder in folders
    }
    n_alarms, known = _known(images, kinds)
    figures["known_again"] = known
    figures["pairs_alike"] = n_alarms
    every = [image for some in images.values() for image in some]
    started = time.process_time()
    for image in every:
        embedding(image)
    figures["cpu_ms_per_image"] = round((time.process_time() - started) / len(every) * 1000, 1)
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, 1 thread"
    figures["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures))


def _nearest_maps(
    folder: Path, images: dict[str, list[Image]], kinds: dict[str, Callable[[Image], Vectors]]
) -> dict[str, Any]:
    maps = [
        cv2.resize(one, (_MAP_SIDE, _MAP_SIDE), interpolation=cv2.INTER_NEAREST)
        for one in _images(folder / "masks")
    ]
    dices = np.array([[_dice(a, b) for b in maps] for a in maps])
    np.fill_diagonal(dices, np.nan)
    found: dict[str, Any] = {"random": round(float(np.nanmean(dices)), 3)}
    for kind, function in kinds.items():
        vectors = np.stack([function(image) for image in images[folder.name]])
        squares = _squares(vectors, vectors)
        np.fill_diagonal(squares, np.inf)
        nearest = squares.argmin(axis=1)
        found[kind] = round(float(dices[np.arange(len(maps)), nearest].mean()), 3)
        if kind == "embedding":
            found["covered"] = _covered(vectors.astype(np.float32), dices)
    return found


def _covered(vectors: npt.NDArray[np.float32], dices: Vectors) -> dict[str, dict[str, float]]:
    """How well the best of k images chosen without labels fits each of the others."""
    n = len(vectors)
    pool = unpredicted(np.arange(n), embeddings=vectors)
    found: dict[str, dict[str, float]] = {}
    for k in _FIRST_BATCHES:
        found[f"{k} labels"] = {}
        for name in ("random", "typical", "core_set", "diverse"):
            means = []
            for seed in range(_SEEDS):
                chosen = strategy_by_name(name)(pool, k, np.random.default_rng(seed))
                others = np.setdiff1d(np.arange(n), chosen)
                means.append(dices[np.ix_(others, chosen)].max(axis=1).mean())
            found[f"{k} labels"][name] = round(float(np.mean(means)), 3)
    return found


def _known(
    images: dict[str, list[Image]], kinds: dict[str, Callable[[Image], Vectors]]
) -> tuple[dict[str, int], dict[str, dict[str, float]]]:
    """How many pairs of images are alike, and the share of changed images that are known again."""
    alarms: dict[str, int] = {}
    known: dict[str, dict[str, float]] = {}
    limit = float(ALIKE_BITS)
    for kind, function in kinds.items():
        vectors = {name: np.stack([function(i) for i in some]) for name, some in images.items()}
        pairs = np.concatenate(
            [_squares(v, v)[np.triu_indices(len(v), 1)] for v in vectors.values()]
        )
        if alarms:
            alarms[f"{kind}_below_{SAME}"] = int((pairs < SAME).sum())
            limit = float(np.sort(pairs)[max(alarms["fingerprint"] - 1, 0)])
        alarms[kind] = int((pairs <= limit).sum())
        known[kind] = {
            change: round(
                float(
                    np.mean(
                        [
                            ((function(changed(image)) - v) ** 2).sum() <= limit
                            for name, some in images.items()
                            for image, v in zip(
                                some[::_EVERY], vectors[name][::_EVERY], strict=True
                            )
                        ]
                    )
                ),
                2,
            )
            for change, changed in CHANGES.items()
        }
    alarms["of"] = sum(len(some) * (len(some) - 1) // 2 for some in images.values())
    return alarms, known


def _images(folder: Path) -> list[Image]:
    found = []
    for path in sorted(folder.iterdir()):
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        found.append(image if image.ndim == 2 else np.ascontiguousarray(image[:, :, 2::-1]))
    return found


def _squares(a: Vectors, b: Vectors) -> Vectors:
    squares: Vectors = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return squares


def _dice(a: Image, b: Image) -> float:
    """Mean over the classes in either of two label maps; 1 where there is none."""
    classes = sorted((set(np.unique(a).tolist()) | set(np.unique(b).tolist())) - {0})
    dices = [
        2
        * np.count_nonzero((a == c) & (b == c))
        / (np.count_nonzero(a == c) + np.count_nonzero(b == c))
        for c in classes
    ]
    return float(np.mean(dices)) if dices else 1.0


if __name__ == "__main__":
    main()
