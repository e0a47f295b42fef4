"""The folder of a finished version: self-contained, never changed once it is there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Literal

from converters.bookkeeping.documents import read_document, write_document
from converters.bookkeeping.files import link_or_copy, new_folder
from domain.case import Manifest
from domain.errors import DocumentError, PredictionError, TrainingError
from training.folds.spec import FINAL, PROGRESS, RESULT
from training.presets import Preset
from training.versions.metrics import VersionMetrics
from training.workspace import Workspace

VERSION = "version.json"
MANIFEST = "manifest.json"
METRICS = "metrics.json"
PLANS = "plans.json"
DATASET = "dataset.json"
FINGERPRINT = "dataset_fingerprint.json"
CURVES = "curves.png"
POSTPROCESSING = "postprocessing.json"
"""nnU-Net's account of its postprocessing; see ``training.versions.keep_largest``."""
POSTPROCESSING_PKL = "postprocessing.pkl"
"""The same for nnU-Net's own commands; nnloop never reads it."""
CONFIGURATION = "2d"
"""nnU-Net's configuration that nnloop trains and predicts with."""
MEMBERS = "members"
"""Folder of an ensemble's members, each a version's folder of its own."""

_LIBRARIES = ("nnunetv2", "torch", "numpy")


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """version.json: what is needed to predict with a version, and what made it.

    ``class_values`` are in integer order without background; ``libraries`` name -> version;
    ``settings`` are those of the run, as JSON for people, {} for a version that was trained
    elsewhere; ``created_at`` is in Unix seconds, ``form`` that of this document.

    An ensemble names the versions it averages in ``members``; any other version has none. Fold k of
    an ensemble, ``folds[i]`` = k, is predicted by fold ``member_folds[i][m]`` of member m; None
    there means the mean of all that member's folds (it held nothing out).
    """

    name: str
    class_values: tuple[str, ...]
    n_channels: int
    preset: Preset
    folds: tuple[int, ...]
    libraries: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    created_at: float = field(default_factory=time.time)
    members: tuple[str, ...] = ()
    member_folds: tuple[tuple[int | None, ...], ...] = ()
    form: Literal[1] = 1


def package_version(
    workspace: Workspace,
    run: str | int,
    info: VersionInfo,
    *,
    manifest: Manifest | None = None,
    metrics: VersionMetrics | None = None,
    check: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Makes a version of a run's finished folds; it appears whole or not at all.

    A version that is there already is left as it is, so the call can be repeated.

    Args:
        workspace: The project.
        run: The run whose folds are finished.
        info: For version.json; it names the folds to take, at least 1.
        manifest: What it was trained on, for manifest.json.
        metrics: What was measured, for metrics.json.
        check: Called with the folder before it is the version's; what it raises ends the call, and
            there is no version.

    Returns:
        The version's folder.

    Raises:
        TrainingError: A fold is not finished.
    """
    target = workspace.version_dir(info.name)
    if target.exists():
        return target
    sources = {fold: workspace.fold_dir(run, fold) for fold in info.folds}
    for fold, source in sources.items():
        if not (source / RESULT).exists():
            raise TrainingError(
                f"Fold {fold} of run {run} is not finished.", remedy="Let the run finish first."
            )

    def fill(folder: Path) -> None:
        for fold, source in sources.items():
            for name in (FINAL, RESULT, PROGRESS, CURVES):
                if name != CURVES or (source / name).exists():
                    link_or_copy(source / name, folder / f"fold_{fold}" / name)
        first = next(iter(sources.values()))
        for name in (PLANS, DATASET):
            link_or_copy(first / name, folder / name)
        for name in (POSTPROCESSING, POSTPROCESSING_PKL):
            if (workspace.run_dir(run) / name).exists():
                link_or_copy(workspace.run_dir(run) / name, folder / name)
        fingerprint = workspace.preprocessed_dataset / FINGERPRINT
        if fingerprint.exists():
            link_or_copy(fingerprint, folder / FINGERPRINT)

    return write_version(workspace, info, fill, manifest=manifest, metrics=metrics, check=check)


def write_version(
    workspace: Workspace,
    info: VersionInfo,
    fill: Callable[[Path], None],
    *,
    manifest: Manifest | None = None,
    metrics: VersionMetrics | None = None,
    check: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Makes a version's folder of what ``fill`` writes and its JSON files, whole or not at all.

    Its files are made read-only: a version never changes, it can only be pruned. One that is there
    already is left as it is.

    Args:
        workspace: The project.
        info: For version.json; its name becomes the folder's.
        fill: Writes plans.json, dataset.json and ``fold_<k>/checkpoint_final.pth`` into a folder.
        manifest: For manifest.json; None: there is none.
        metrics: For metrics.json; None: there is none.
        check: As for ``package_version``.

    Returns:
        The version's folder.
    """
    target = workspace.version_dir(info.name)
    if target.exists():
        return target
    workspace.models.mkdir(parents=True, exist_ok=True)
    folder = new_folder(workspace.models, ".packing-")
    try:
        fill(folder)
        write_document(folder / VERSION, VersionInfo, info)
        if manifest is not None:
            write_document(folder / MANIFEST, type(manifest), manifest)
        if metrics is not None:
            write_document(folder / METRICS, VersionMetrics, metrics)
        check(folder)
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(path.stat().st_mode & 0o444)  # read only, for whom the umask lets
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def read_version(version_dir: Path) -> VersionInfo:
    """version.json of a packaged version.

    Raises:
        PredictionError: It is missing or broken.
    """
    try:
        return read_document(version_dir / VERSION, VersionInfo)
    except (OSError, DocumentError) as error:
        raise PredictionError(
            f"There is no usable version in {version_dir.name}: {error}",
            remedy="Choose another version, or train again.",
        ) from error


def read_manifest(version_dir: Path) -> Manifest | None:
    """What manifest.json says a version was trained on; None where it was trained elsewhere.

    Raises:
        DocumentError: It is broken.
    """
    path = version_dir / MANIFEST
    return read_document(path, Manifest) if path.exists() else None


def member_dirs(version_dir: Path, info: VersionInfo) -> tuple[Path, ...]:
    """The folders that hold plans and networks: those of an ensemble's members, else its own."""
    return tuple(version_dir / MEMBERS / name for name in info.members) or (version_dir,)


def library_versions() -> dict[str, str]:
    """What predictions depend on: library -> its version as installed now."""
    return {name: library_version(name) for name in _LIBRARIES}


def size_bytes(folder: Path) -> int:
    """Bytes of the files below a folder; 0 when it does not exist."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove_weights(folder: Path) -> int:
    """Removes the checkpoints below a folder; what says how they came about stays.

    Returns:
        Bytes that became free. A checkpoint that is linked elsewhere, by its run or an ensemble,
        frees its space when the last of its links goes.
    """
    freed = 0
    for path in sorted(folder.rglob("*.pth")):
        stat = path.stat()
        freed += stat.st_size if stat.st_nlink == 1 else 0
        path.unlink(missing_ok=True)
    return freed
