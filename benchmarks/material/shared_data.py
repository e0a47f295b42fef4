"""A folder of images and masks as a prepared project, for the benchmarks that train."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.case_files import CaseFiles, read_image, write_case
from training.folds.splits import assign_folds
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.presets import Preset
from training.workspace import Workspace

CLASS_NAMES = {"ultrasound": ("nerve", "vessel"), "nuclei": ("nucleus",), "glacier": ("front",)}
"""What the integers of known folders mean; other folders get ``class_1``, ``class_2``, ..."""

PROJECT = 1


@dataclass(frozen=True, slots=True)
class Project:
    """Cases written into a workspace.

    ``class_values`` in integer order without background; ``folds`` case id -> fold.
    """

    workspace: Workspace
    cases: tuple[CaseFiles, ...]
    class_values: tuple[str, ...]
    n_channels: int
    folds: dict[str, int]

    def prepare(self, preset: Preset) -> PreparedDataset:
        """Preprocesses for a preset, as a training run does."""
        return prepare(
            self.workspace,
            self.cases,
            self.folds,
            DatasetSpec(self.class_values, self.n_channels, preset),
        )

    def truth(self, case_id: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """The label map of a case, (height, width) uint8."""
        return read_image(self.workspace.label_png(case_id)).astype(np.uint8)


def write_project(data: Path, root: Path, *, n_folds: int, n_cases: int | None = None) -> Project:
    """Writes images and masks of a folder as cases.

    Args:
        data: A folder with ``images/`` and ``masks/``, the same file names in both; masks hold
            small integers, 0 = background.
        root: Where the workspace goes.
        n_folds: Folds; cases are dealt out by hashes of their names.
        n_cases: How many cases, chosen by hash; None: all.

    Raises:
        FileNotFoundError: The folder has no such pairs.
    """
    images = sorted((data / "images").glob("*"), key=lambda path: _digest(path.stem))[:n_cases]
    if not images or not (data / "masks").is_dir():
        raise FileNotFoundError(f"{data} must hold images/ and masks/ with the same file names")
    workspace = Workspace(root, PROJECT)
    pixels = [read_image(path) for path in images]
    masks = [_read_mask(data / "masks" / f"{path.stem}.png") for path in images]
    n_channels = 3 if any(array.ndim == 3 for array in pixels) else 1
    cases = tuple(
        write_case(workspace, path.stem, image, mask, n_channels=n_channels)
        for path, image, mask in zip(images, pixels, masks, strict=True)
    )
    n_classes = max(int(mask.max()) for mask in masks)
    known = CLASS_NAMES.get(data.name, ())
    return Project(
        workspace=workspace,
        cases=cases,
        class_values=(
            known
            if len(known) == n_classes
            else tuple(f"class_{k}" for k in range(1, n_classes + 1))
        ),
        n_channels=n_channels,
        folds=assign_folds({}, [case.case_id for case in cases], n_folds),
    )


def one_thread() -> None:
    """One CPU thread for the arithmetic of processes started from now on."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"


def _read_mask(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2:
        raise FileNotFoundError(f"{path} is missing, or is no grey image")
    return np.asarray(mask, dtype=np.uint8)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
