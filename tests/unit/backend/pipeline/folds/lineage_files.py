"""What the histories of lineages write and read: images, label maps, weights with names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.bookkeeping.files import read_json, write_json
from tests.fakes.label_studio import png
from training.folds.spec import FINAL
from training.versions.version_folder import DATASET, PLANS, member_dirs, read_version

SIZE_HW = (40, 48)


@dataclass(frozen=True)
class Shown:
    """A task as it was when something was trained on it: who it is, what it shows, its group."""

    task_id: int
    created_at: str
    image: str
    group: str


def weights_of(folder: Path, fold: int | None) -> list[str]:
    """The names that ``_train`` gave to the weights of a version's fold, or of all."""
    info = read_version(folder)
    if not info.members:
        folds = info.folds if fold is None else (fold,)
        return [read_json(folder / f"fold_{k}" / FINAL) for k in folds]
    rows = info.member_folds if fold is None else (info.member_folds[fold],)
    return [
        name
        for row in rows
        for member, of_member in zip(member_dirs(folder, info), row, strict=True)
        for name in weights_of(member, of_member)
    ]


def image_of(number: int) -> bytes:
    """Images 2 k and 2 k + 1 look alike: one is brighter."""
    low = np.random.default_rng(number // 2).integers(0, 200, (5, 6)).astype(np.uint8)
    return png(np.kron(low, np.ones((8, 8), np.uint8)) + np.uint8(20 * (number % 2)))


def paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.zeros(SIZE_HW, np.uint8)))


def write_networks(folder: Path, plans: dict[str, Any]) -> None:
    """What networks are described by, beside their weights."""
    write_json(folder / PLANS, plans)
    write_json(folder / DATASET, {"channel_names": {"0": "image"}, "labels": {"background": 0}})
