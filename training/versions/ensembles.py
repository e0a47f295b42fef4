"""An ensemble: a version that holds others and predicts the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.bookkeeping.files import link_or_copy
from domain.case import Manifest
from domain.errors import PredictionError
from training.folds.spec import FINAL
from training.versions.metrics import VersionMetrics
from training.versions.version_folder import (
    MEMBERS,
    POSTPROCESSING,
    POSTPROCESSING_PKL,
    VersionInfo,
    library_versions,
    read_version,
    write_version,
)
from training.workspace import Workspace

PRESET = "ensemble"
"""Name of an ensemble's preset; each member predicts as its own says."""


@dataclass(frozen=True, slots=True)
class EnsembleParts:
    """What an ensemble is made of.

    Attributes:
        member_dirs: Folders of versions with the same classes and channels, at least 2.
        member_folds: Of ``VersionInfo``; row k is the ensemble's fold k.
        postprocessing: A folder with postprocessing.json and .pkl found for the ensemble; None:
            none was looked for.
    """

    member_dirs: Sequence[Path]
    member_folds: Sequence[tuple[int | None, ...]]
    postprocessing: Path | None = None


def package_ensemble(
    workspace: Workspace,
    name: str,
    parts: EnsembleParts,
    *,
    settings: Mapping[str, Any] | None = None,
    manifest: Manifest | None = None,
    metrics: VersionMetrics | None = None,
) -> Path:
    """Makes a version of other versions; it appears whole or not at all.

    Its folder has the members' files as hard links in ``members/<name>/``, so that it outlives
    them, and takes no room of its own while they are there.

    Args:
        workspace: The project.
        name: The ensemble's, usable as a folder name.
        parts: What it is made of.
        settings: For version.json.
        manifest: What the members were trained on, for manifest.json.
        metrics: For metrics.json.

    Returns:
        The version's folder.

    Raises:
        PredictionError: A member's weights are gone, or its folder is broken.
    """
    infos = [read_version(folder) for folder in parts.member_dirs]
    first = infos[0]
    info = VersionInfo(
        name=name,
        class_values=first.class_values,
        n_channels=first.n_channels,
        preset=replace(
            first.preset, name=PRESET, postprocess=all(one.preset.postprocess for one in infos)
        ),
        folds=tuple(range(len(parts.member_folds))),
        libraries=library_versions(),
        settings=dict(settings or {}),
        members=tuple(one.name for one in infos),
        member_folds=tuple(parts.member_folds),
    )

    def fill(folder: Path) -> None:
        for source, member in zip(parts.member_dirs, infos, strict=True):
            target = folder / MEMBERS / member.name
            _link_files(source, target)
            check_weights(target, member)
        for file in (POSTPROCESSING, POSTPROCESSING_PKL):
            if parts.postprocessing is not None and (parts.postprocessing / file).exists():
                link_or_copy(parts.postprocessing / file, folder / file)

    return write_version(workspace, info, fill, manifest=manifest, metrics=metrics)


def check_weights(version_dir: Path, info: VersionInfo) -> None:
    """Raises PredictionError unless every fold of a version has its network."""
    for fold in info.folds:
        if not (version_dir / f"fold_{fold}" / FINAL).exists():
            raise PredictionError(
                f"{info.name} has no weights of fold {fold} any more: it was pruned.",
                remedy="Choose a version that is not pruned (`nnloop models list`).",
            )


def _link_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            try:
                link_or_copy(path, target / path.relative_to(source))
            except FileNotFoundError:
                # Pruned while it was linked: ``check_weights`` says so.
                continue
