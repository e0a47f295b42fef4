"""VersionDetails: everything about a version, down to the annotations it was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.pipeline.models.find import find_version
from backend.pipeline.models.version_report import VersionReport, version_report
from backend.store import projects
from backend.store.models import RunRow, VersionRow
from backend.store.training import runs, versions
from domain.annotation import LeftOut
from domain.case import Manifest
from domain.errors import PredictionError
from domain.gate_verdict import Verdict
from domain.reliability import Reliability
from training.folds.spec import FoldResult
from training.versions.ensembles import PRESET
from training.versions.manifests import EnsembleManifest, RunManifest
from training.versions.metrics import ImportedModel
from training.versions.version_folder import VersionInfo, read_version
from training.versions.working_size import WorkingSize


class TrainedOn(Report):
    """One case of the manifest, and the Dice of the fold that held it out.

    Its Dice is None for an absent class. Where none held it out, as for some cases of an ensemble:
    fold -1 and {}.
    """

    task_id: int
    annotation_ids: tuple[int, ...]
    content_hash: str
    group: str
    fold: int
    dice: dict[str, float | None]


class VersionDetails(Report):
    """Everything about a version.

    Attributes:
        report: Its figures.
        project_id: Label Studio's id.
        class_values: Classes in integer order, without background, as they are called now.
        n_channels: Channels of its images.
        preset: Name of the preset.
        settings: The project's settings when its run started, or the ensemble was made.
        libraries: Library -> version it was trained with.
        verdict: The gate's numbers; None when it did not go through it.
        folds: Per fold the result of its training, without its cases, which
            ``trained_on`` has.
        started_from: Per fold that started from an earlier version's weights its name.
        seeds: Per fold the seed of its training.
        manifest_digest: Hash over annotations, folds and classes.
        trained_on: The annotations behind it, by task.
        left_out: What was annotated and not used, and why.
        imported: Where it came from and what was remarked; None when it was trained here.
        members: The versions that an ensemble averages.
        preset_reason: Why 'auto' took it; "" where a person did.
        symmetries: What was decided about flips and turns in training, and why; empty where nobody
            decided.
        working_size: How much smaller the network sees the images, and what that costs; None where
            plans were made elsewhere.
        remark: How an ensemble was measured, where not by held-out folds of all members.
        calibrated_on: Honest pairs that its scores are calibrated on.
        reliability: How far its scores can be believed, as in ``VersionMetrics``.
    """

    report: VersionReport
    project_id: int
    class_values: tuple[str, ...]
    n_channels: int
    preset: str
    settings: dict[str, Any]
    libraries: dict[str, str]
    verdict: Verdict | None
    folds: dict[int, FoldResult]
    manifest_digest: str
    trained_on: tuple[TrainedOn, ...]
    left_out: tuple[LeftOut, ...]
    imported: ImportedModel | None
    members: tuple[str, ...] = ()
    symmetries: tuple[str, ...] = ()
    preset_reason: str = ""
    working_size: WorkingSize | None = None
    remark: str = ""
    calibrated_on: int = 0
    reliability: dict[str, Reliability] = Field(default_factory=dict)
    started_from: dict[int, str] = Field(default_factory=dict)
    seeds: dict[int, int] = Field(default_factory=dict)


def version_details(context: AppContext, name: str, project_id: int | None) -> VersionDetails:
    """Everything about a version; SettingsError when there is none of this name.

    A pruned version tells as much: its JSON files stay.
    """
    with context.store.begin() as session:
        row = find_version(session, name, project_id)
        run = session.get(RunRow, row.run_id) if row.run_id is not None else None
        folds = {
            fold.fold: replace(fold.result, dice_per_case={}, expected={})
            for fold in (runs.folds_of(session, run.id) if run else [])
            if fold.result is not None
        }
        report = version_report(session, row)
        names = label_names_of(projects.get(session, row.project_id))
        kept = versions.manifest_of(session, row)
    info = _info(row)
    manifest = kept or Manifest(())
    metrics = row.metrics
    starts = kept.starts if isinstance(kept, RunManifest) else ()
    return VersionDetails(
        report=report,
        project_id=row.project_id,
        class_values=names.current_names(info.class_values if info else manifest.class_values),
        n_channels=info.n_channels if info else manifest.n_channels,
        preset=info.preset.name if info else _preset_name(kept),
        preset_reason=kept.preset_reason if isinstance(kept, RunManifest) else "",
        settings=run.settings.model_dump(mode="json") if run else (info.settings if info else {}),
        libraries=info.libraries if info else {},
        verdict=metrics.gate,
        folds=folds,
        started_from={
            fold: start.version or "a model trained elsewhere"
            for fold, start in enumerate(starts)
            if fold in folds and folds[fold].warm_started
        },
        seeds={fold: start.seed for fold, start in enumerate(starts) if fold in folds},
        manifest_digest=kept.digest if kept else "",
        trained_on=tuple(
            TrainedOn(
                task_id=entry.task_id,
                annotation_ids=entry.annotation_ids,
                content_hash=entry.content_hash,
                group=entry.group,
                fold=entry.fold,
                dice=names.renamed(metrics.dice_per_case.get(entry.case_id, {})),
            )
            for entry in manifest.entries
        ),
        left_out=manifest.left_out,
        imported=metrics.imported,
        members=metrics.ensemble.members if metrics.ensemble else (),
        symmetries=kept.symmetries.in_words if isinstance(kept, RunManifest) else (),
        working_size=WorkingSize.of_version(Path(row.path)),
        remark=metrics.remark,
        calibrated_on=row.calibration.n if row.calibration else 0,
        reliability=metrics.reliability,
    )


def _preset_name(manifest: RunManifest | EnsembleManifest | None) -> str:
    if manifest is None:
        return ""
    return manifest.preset.name if isinstance(manifest, RunManifest) else PRESET


def _info(row: VersionRow) -> VersionInfo | None:
    try:
        return read_version(Path(row.path))
    except PredictionError:
        # Its folder is gone, or on a machine that this one does not see: the store still tells.
        return None
