"""Label maps of cases by the newest checkpoint of each fold of a run, made in a child process.

While the folds train, or afterwards. Nothing is written beside the checkpoints, the child gives way
to whoever trains, and one network is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from converters.bookkeeping.documents import from_json, to_json
from training.folds.spec import FINAL, LATEST
from training.processes.networks import run_child
from training.workspace import Workspace

CHILD_MODULE = "training.nnunet.inference.children.preview_folds"

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class CaseToPreview:
    """A case: ``Workspace`` and id of its image; its label map goes to fold_<k>/CASE_ID.png."""

    workspace_root: str
    project_id: int
    case_id: str

    @property
    def workspace(self) -> Workspace:
        """Where its image lies."""
        return Workspace(Path(self.workspace_root), self.project_id)


@dataclass(frozen=True, slots=True)
class FoldToPreview:
    """One fold.

    Attributes:
        fold: Its number.
        checkpoints: Where its checkpoint may be, the one that is newest where it is there first.
        cases: What it predicts.
    """

    fold: int
    checkpoints: tuple[str, ...]
    cases: tuple[CaseToPreview, ...]


@dataclass(frozen=True, slots=True)
class PreviewSpec:
    """What the child does: these folds, one after the other.

    Attributes:
        folds: Which.
        device: ``cpu``, ``cuda:<i>`` or ``mps``.
        tile_step: Step of the sliding window as a fraction of the patch, in (0, 1].
        mirrors: Whether to average over images mirrored as the folds were trained mirrored.
        integers: What the run's classes 0, 1, 2, ... are called in the label maps.
        out: Folder for the label maps.
    """

    folds: tuple[FoldToPreview, ...]
    device: str
    tile_step: float
    mirrors: bool
    integers: tuple[int, ...]
    out: str


@dataclass(frozen=True, slots=True)
class PreviewedFold:
    """What a fold said.

    Attributes:
        fold: Its number.
        epoch: Epochs that its checkpoint was trained; 0 = it has none.
        epochs: Epochs planned when it was written.
        message: Why its checkpoint can't be used; "" otherwise.
        failures: Case id -> why it was not predicted.
    """

    fold: int
    epoch: int = 0
    epochs: int = 0
    message: str = ""
    failures: dict[str, str] = field(default_factory=dict)


def checkpoints_of(fold_dir: Path, version_dir: Path | None, fold: int) -> tuple[str, ...]:
    """Where the newest checkpoint of a fold may be.

    While it trains there is checkpoint_latest; at its end checkpoint_final is there before that one
    goes. A run that is over loses both, once its version has a link of its own.

    Args:
        fold_dir: The fold's, in its run.
        version_dir: Of the version that the run has made; None: none.
        fold: Its number.
    """
    found = [fold_dir / LATEST, fold_dir / FINAL]
    if version_dir is not None:
        found.append(version_dir / f"fold_{fold}" / FINAL)
    return tuple(str(path.resolve()) for path in found)


def preview_folds(
    folds: Sequence[FoldToPreview],
    out: Path,
    *,
    device: str,
    tile_step: float,
    mirrors: bool,
    integers: Sequence[int],
    on_fold: Callable[[], None] = lambda: None,
) -> tuple[PreviewedFold, ...]:
    """Writes OUT/fold_<k>/CASE_ID.png, (height, width) uint8, for every case it can.

    As a version of these weights would predict them, without its postprocessing.

    Args:
        folds: Which.
        out: Folder for the label maps; made if missing.
        device: As of ``PreviewSpec``.
        tile_step: Likewise.
        mirrors: Likewise.
        integers: Likewise.
        on_fold: Called after each fold.

    Raises:
        PredictionError: The device is not there, or the child ended before its time.
    """
    spec = PreviewSpec(
        tuple(folds), device, tile_step, mirrors, tuple(integers), str(out.resolve())
    )
    found: list[PreviewedFold] = []

    def read(line: str) -> None:
        found.append(from_json(PreviewedFold, json.loads(line)))
        on_fold()

    run_child(
        CHILD_MODULE,
        to_json(PreviewSpec, spec),
        read,
        work="predicted with the newest checkpoints",
        # Of several threads one that waits for a core holds all of them up, and those who train.
        env=dict.fromkeys(_THREADS, "1"),
    )
    return tuple(found)
