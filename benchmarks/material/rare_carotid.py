"""Generated carotid arteries, many of the images empty, with a class that few of them show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from backend.demo.phantom import PX_PER_MM
from backend.demo.ultrasound import Sample, generate, kind_of
from backend.demo.vessel import WALL
from domain.geometry import LabelMap

CLASS_NAMES = ("lumen", "wall", "plaque")

N_EMPTY, N_PLAQUE, N_OTHERS = 48, 12, 60
"""Of 120 images 40 % are empty, one in ten shows plaque."""

SIZE_HW = (320, 440)

PLAQUE_FROM_MM = 1.25
"""A wall without plaque is nowhere thicker (``demo.ultrasound``: 1.05 mm and 15 % of it)."""

_PLAQUE = 3
_SEED = 11


def rare_carotid(seed: int = _SEED) -> Iterator[tuple[str, Sample, LabelMap]]:
    """(name, image, truth with the classes of ``CLASS_NAMES``) of every image."""
    left = {"empty": N_EMPTY, "plaque": N_PLAQUE, "": N_OTHERS}
    for index in count():
        if not any(left.values()):
            return
        kind = kind_of(index, seed)
        kind = kind if kind in left else ""
        if not left[kind]:
            continue
        left[kind] -= 1
        sample = generate(index, seed, SIZE_HW)
        yield sample.name, sample, with_plaque(sample)


def with_plaque(sample: Sample) -> LabelMap:
    """The truth, in which the wall of an image of plaque is plaque where it is too deep."""
    truth = sample.truth.copy()
    if sample.kind == "plaque":
        # What lies beyond the image is vessel too: it is cut, not bounded there.
        vessel = np.pad((truth > 0).astype(np.uint8), 1, mode="edge")
        depth = cv2.distanceTransform(vessel, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        truth[(truth == WALL) & (depth > PLAQUE_FROM_MM * PX_PER_MM)] = _PLAQUE
    return truth


def write_folder(folder: Path) -> None:
    """Writes images/ and masks/, unless they are there."""
    if len(list(folder.glob("masks/*.png"))) == N_EMPTY + N_PLAQUE + N_OTHERS:
        return
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, sample, truth in rare_carotid():
        cv2.imwrite(str(folder / "images" / f"{name}.png"), sample.image)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), truth)
