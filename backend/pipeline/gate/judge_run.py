"""Challenger against champion on the same out-of-fold cases; promotion only if not worse."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.preset import preset_of_manifest
from backend.pipeline.basis.warm_predictor import warm_predictor
from backend.pipeline.gate.challenger import add_judged, judge_challenger
from backend.pipeline.gate.champion import FoldOfCase, in_current_names, project_integers
from backend.pipeline.gate.earlier_dice import without_absent
from backend.pipeline.gate.postprocess import postprocessing_of
from backend.pipeline.gate.retention import prune_quietly
from backend.pipeline.gate.verdict import DicePerCase, Verdict
from backend.settings import ProjectSettings
from backend.store import runs, versions
from backend.store.models import FoldRow, RunRow, VersionRow
from domain.case import Manifest
from domain.states import VersionStatus
from training.case_files import read_case_image, read_image
from training.evaluation import ClassDice, mean_over_cases, named_dice
from training.nnunet.inference.postprocessing import postprocessed
from training.nnunet.inference.predictor import FoldPredictor
from training.versions.keep_largest import KeepLargest, read_postprocessing
from training.versions.version_folder import package_version, size_bytes
from training.workspace import Workspace

logger = logging.getLogger(__name__)


def evaluate_run(context: AppContext, run_id: int, beat: Beat) -> bool:
    """Packs the run's folds into a version and lets the gate decide; True when it was promoted."""
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        folds = runs.folds_of(session, run_id)
        version = versions.version_of_run(session, run_id)
    if version is not None:
        # This step ran before and was cut off after its transaction.
        return version.status == VersionStatus.CHAMPION
    assert run.manifest is not None  # noqa: S101 - prepare_run wrote it
    manifest = Manifest.from_json(run.manifest)
    challenger: DicePerCase = {}
    for fold in folds:
        challenger.update((fold.result or {}).get("dice_per_case", {}))
    # A fold may have been trained before nnloop was updated.
    challenger = without_absent(
        context.workspace(run.project_id), manifest.class_values, challenger
    )
    trained = mean_over_cases(challenger)
    postprocessing = postprocessing_of(context, run, folds, manifest, beat)
    if postprocessing is not None:
        challenger = postprocessing.dice_per_case
    metrics: dict[str, Any] = {
        "labels": len(manifest.entries),
        "oof_dice": mean_over_cases(challenger),
        "dice_per_case": challenger,
        "warm_started": [f.fold for f in folds if (f.result or {}).get("warm_started")],
    }
    if postprocessing is not None:
        keeps_largest = [list(step.labels) for step in postprocessing.steps]
        metrics["postprocessing"] = {"keeps_largest": keeps_largest, "dice_before": trained}
    name = versions.name_of(run)
    path = _package(context, run, folds, name, manifest, metrics)
    judged = False
    while not judged:
        with context.store.begin() as session:
            champion = versions.champion(session, run.project_id)
        verdict, of_gate = _decide(context, run, champion, manifest, challenger, beat)
        row = VersionRow(
            project_id=run.project_id,
            run_id=run_id,
            name=name,
            path=str(path),
            status=VersionStatus.REJECTED,
            metrics={**metrics, **of_gate},
            size_bytes=size_bytes(path),
        )
        # Not when a person promoted another version while this one was measured against the old.
        judged = add_judged(context, row, champion, is_promoted=verdict.is_promoted)
    logger.info("Project %d: %s: %s", run.project_id, name, verdict.reason)
    prune_quietly(context, run.project_id)
    return verdict.is_promoted


def _package(
    context: AppContext,
    run: RunRow,
    folds: list[FoldRow],
    name: str,
    manifest: Manifest,
    metrics: Mapping[str, Any],
) -> Path:
    assert run.manifest is not None  # noqa: S101 - as in evaluate_run
    return package_version(
        context.workspace(run.project_id),
        str(run.number),
        name,
        class_values=manifest.class_values,
        n_channels=run.manifest["n_channels"],
        preset=preset_of_manifest(run.manifest),
        folds=[fold.fold for fold in folds],
        settings=run.settings,
        manifest=run.manifest,
        metrics=metrics,
    )


def _decide(
    context: AppContext,
    run: RunRow,
    champion: VersionRow | None,
    manifest: Manifest,
    challenger: DicePerCase,
    beat: Beat,
) -> tuple[Verdict, dict[str, Any]]:
    manifest, challenger = in_current_names(context, run.project_id, manifest, challenger)

    def make_judge(serving: VersionRow, predicted: tuple[str, ...]) -> _Judge:
        path = Path(serving.path)
        return _Judge(
            workspace=context.workspace(serving.project_id),
            predictor=warm_predictor(context.settings, None, path),
            class_values=manifest.class_values,
            predicted_values=predicted,
            steps=read_postprocessing(path),
            beat=beat,
        )

    return judge_challenger(
        context,
        champion,
        manifest,
        challenger,
        ProjectSettings.model_validate(run.settings).gate_margin,
        make_judge,
        why_unmeasured="all labelled images are of one group, so none was held out to measure it "
        "on",
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """A version's networks on the project's cases, in the classes of today."""

    workspace: Workspace
    predictor: FoldPredictor
    class_values: tuple[str, ...]
    predicted_values: tuple[str, ...]
    steps: tuple[KeepLargest, ...]
    beat: Beat

    @property
    def folds(self) -> tuple[int, ...]:
        return self.predictor.folds

    def dice(self, cases: Sequence[FoldOfCase]) -> DicePerCase:
        integers = np.array(project_integers(self.predicted_values, self.class_values), np.uint8)
        found: DicePerCase = {}
        for entry, fold in cases:
            self.beat()
            found[entry.case_id] = self._dice(entry.case_id, fold, integers)
        return found

    def _dice(self, case_id: str, fold: int | None, integers: npt.NDArray[np.uint8]) -> ClassDice:
        image = read_case_image(self.workspace, case_id)
        truth = read_image(self.workspace.label_png(case_id))
        if fold is None:
            probabilities = self.predictor.predict(image).mean(axis=0)
        else:
            probabilities = self.predictor.predict_single_fold(image, fold)
        predicted = integers[postprocessed(probabilities, self.steps).argmax(axis=0)]
        return named_dice(predicted, truth, self.class_values)
