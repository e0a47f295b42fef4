"""Small images with a bright disc (class 1) and a dim square (class 2) in noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.case_files import CaseFiles, write_case
from training.workspace import Workspace

CLASS_VALUES = ("disc", "square")


def disc_image(seed: int, side: int = 96) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint8)
    y, x = np.mgrid[:side, :side]
    top, left, size = *rng.integers(4, side - 34, 2), rng.integers(20, 30)
    labels[top : top + size, left : left + size] = 2
    radius = rng.uniform(12, 20)
    cy, cx = rng.uniform(radius, side - radius, 2)
    labels[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 1
    image = rng.normal(90, 20, (side, side)) + np.array([0, 90, -60])[labels]
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write_discs(root: Path, n: int, side: int = 96) -> tuple[Workspace, list[CaseFiles]]:
    workspace = Workspace(root, 7)
    cases = [
        write_case(workspace, f"task_{i:08d}", *disc_image(i, side), n_channels=1) for i in range(n)
    ]
    return workspace, cases
