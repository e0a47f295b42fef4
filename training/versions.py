"""The folder of a finished version: self-contained, never changed once it is there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

from converters.files import link_or_copy, read_json, write_json
from domain.errors import PredictionError, TrainingError
from training.folds import FINAL, PROGRESS, RESULT
from training.presets import Preset
from training.workspace import Workspace

_LIBRARIES = ("nnunetv2", "torch", "numpy")


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """version.json: what is needed to predict with a version, and what made it.

    ``class_values`` are in integer order without background; ``libraries`` name -> version.
    """

    name: str
    class_values: tuple[str, ...]
    n_channels: int
    preset: Preset
    folds: tuple[int, ...]
    libraries: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """A JSON value that ``from_json`` reads back."""
        return {
            "name": self.name,
            "class_values": list(self.class_values),
            "n_channels": self.n_channels,
            "preset": self.preset.to_json(),
            "folds": list(self.folds),
            "libraries": self.libraries,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> VersionInfo:
        """Reads what ``to_json`` wrote."""
        return cls(
            name=value["name"],
            class_values=tuple(value["class_values"]),
            n_channels=value["n_channels"],
            preset=Preset.from_json(value["preset"]),
            folds=tuple(value["folds"]),
            libraries=value["libraries"],
        )


def package_version(
    workspace: Workspace,
    run: str | int,
    version: str,
    *,
    class_values: Sequence[str],
    n_channels: int,
    preset: Preset,
    folds: Sequence[int],
) -> Path:
    """Makes a version of a run's finished folds; it appears whole or not at all.

    A version that is there already is left as it is, so the call can be repeated.

    Args:
        workspace: The project.
        run: The run whose folds are finished.
        version: The version's name, usable as a folder name.
        class_values: Class names in integer order without background.
        n_channels: 1 or 3.
        preset: The preset the folds were trained with.
        folds: Folds to take, at least 1.

    Returns:
        The version's folder.

    Raises:
        TrainingError: A fold is not finished.
    """
    target = workspace.version_dir(version)
    if target.exists():
        return target
    sources = {fold: workspace.fold_dir(run, fold) for fold in sorted(folds)}
    for fold, source in sources.items():
        if not (source / RESULT).exists():
            raise TrainingError(
                f"Fold {fold} of run {run} is not finished.", remedy="Let the run finish first."
            )
    workspace.models.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=workspace.models, prefix=".packing-"))
    try:
        for fold, source in sources.items():
            for name in (FINAL, RESULT, PROGRESS):
                link_or_copy(source / name, folder / f"fold_{fold}" / name)
        first = next(iter(sources.values()))
        for name in ("plans.json", "dataset.json"):
            link_or_copy(first / name, folder / name)
        info = VersionInfo(
            name=version,
            class_values=tuple(class_values),
            n_channels=n_channels,
            preset=preset,
            folds=tuple(sources),
            libraries={name: library_version(name) for name in _LIBRARIES},
        )
        write_json(folder / "version.json", info.to_json())
        folder.chmod(0o755)
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
        return VersionInfo.from_json(read_json(version_dir / "version.json"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionError(
            f"There is no usable version in {version_dir.name}: {error}",
            remedy="Choose another version, or train again.",
        ) from error
