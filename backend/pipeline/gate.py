"""Challenger against champion on the same out-of-fold cases; promotion only if not worse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.pipeline.context import AppContext
from backend.pipeline.devices import prediction_device
from backend.pipeline.models.comparison import DicePerCase, Verdict, judge
from backend.pipeline.models.retention import prune_quietly
from backend.pipeline.postprocess import postprocessing_of
from backend.pipeline.preset import preset_of_manifest
from backend.settings import ProjectSettings
from backend.store import runs, versions
from backend.store.models import FoldRow, RunRow, VersionRow
from domain.case import Manifest, ManifestEntry
from domain.status import VersionOrigin, VersionStatus
from training.cases import read_case_image, read_image
from training.evaluation import mean_over_cases, named_dice
from training.nnunet.inference.postprocessing import postprocessed
from training.nnunet.inference.predictor import FoldPredictor, load_cached
from training.postprocessing import KeepLargest, read_postprocessing
from training.versions import package_version, read_version, size_bytes

logger = logging.getLogger(__name__)

Beat = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Measured:
    """The champion's Dice on the challenger's cases; ``remark`` says how, where it matters."""

    dice: DicePerCase
    remark: str = ""


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
    name = f"nnloop-v{run.number}"
    path = _package(context, run, folds, name, manifest, metrics)
    while True:
        with context.store.begin() as session:
            champion = versions.champion(session, run.project_id)
        verdict, measured = _decide(context, run, champion, manifest, challenger, beat)
        metrics["gate"] = asdict(verdict)
        if champion is not None and measured.dice:
            metrics["champion_dice"] = {"version": champion.name, "dice_per_case": measured.dice}
        with context.store.begin() as session:
            serving = versions.champion(session, run.project_id)
            if (serving and serving.id) != (champion and champion.id):
                # A person promoted another version while this one was measured against the old.
                continue
            row = VersionRow(
                project_id=run.project_id,
                run_id=run_id,
                name=name,
                path=str(path),
                status=VersionStatus.REJECTED,
                metrics=metrics,
                size_bytes=size_bytes(path),
            )
            session.add(row)
            session.flush()
            if verdict.is_promoted:
                versions.promote(session, row)
        break
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
) -> tuple[Verdict, _Measured]:
    margin = ProjectSettings.model_validate(run.settings).gate_margin
    if champion is not None and not challenger:
        return _unmeasured(champion, margin), _Measured({})
    measured = _champion_dice(context, champion, manifest, beat) if champion else _Measured({})
    groups = {entry.case_id: entry.group for entry in manifest.entries}
    verdict = judge(
        challenger,
        measured.dice if champion else None,
        margin,
        groups,
        remark=measured.remark,
    )
    return verdict, measured


def _unmeasured(champion: VersionRow, margin: float) -> Verdict:
    """A challenger trained on one group: no case was held out, so nothing is known of it.

    It replaces only a version of which as little is known.
    """
    is_known = bool(champion.metrics.get("dice_per_case"))
    is_foreign = champion.origin == VersionOrigin.IMPORTED
    why = "all labelled images are of one group, so none was held out to measure it on"
    reason = (
        f"{why}; {champion.name} serves on until a version can be compared with it"
        if is_known or is_foreign
        else f"{why}, nor for {champion.name}; it knows more annotations"
    )
    return Verdict(not (is_known or is_foreign), None, None, 0, margin, reason)


def _champion_dice(
    context: AppContext, champion: VersionRow, manifest: Manifest, beat: Beat
) -> _Measured:
    """The champion's Dice on the challenger's cases, with today's annotations.

    A case the champion was trained on is predicted by the fold that held it out; one it has never
    seen by the fold that would have. Numbers of unchanged cases are taken from its own training. A
    version without folds that held anything out answers with the mean of its folds, on the cases
    it is not known to have been trained on.
    """
    if champion.run_id is None:
        trained_on = None
        classes = read_version(Path(champion.path)).class_values
        is_comparable = set(manifest.class_values) <= set(classes)
    else:
        with context.store.begin() as session:
            champion_run = session.get_one(RunRow, champion.run_id)
        trained_on = Manifest.from_json(champion_run.manifest or {})
        classes = trained_on.class_values
        is_comparable = set(manifest.class_values) == set(classes)
    if not is_comparable:
        return _Measured({})
    predictor = load_cached(Path(champion.path), device=prediction_device())
    steps = read_postprocessing(Path(champion.path))
    measure = _Measure(
        context, champion.project_id, predictor, manifest.class_values, classes, steps
    )
    if trained_on is None:
        dice = _by_all_folds(measure, manifest.entries, beat)
        return _Measured(
            dice,
            f"{champion.name} was trained elsewhere and measured by the mean of its folds; it may "
            "have been trained on these images",
        )
    if trained_on.n_folds == 1:
        seen = {entry.group for entry in trained_on.entries}
        unseen = [entry for entry in manifest.entries if entry.group not in seen]
        dice = _by_all_folds(measure, unseen, beat)
        return _Measured(dice, f"on the cases of groups that {champion.name} has not seen")
    return _Measured(_out_of_fold(measure, champion, trained_on, manifest, beat))


@dataclass(frozen=True, slots=True)
class _Measure:
    """A version's networks on the project's cases, in the classes of today."""

    context: AppContext
    project_id: int
    predictor: FoldPredictor
    class_values: tuple[str, ...]
    predicted_values: tuple[str, ...]
    steps: tuple[KeepLargest, ...] = ()

    def dice(self, entry: ManifestEntry, fold: int | None) -> dict[str, float]:
        """Dice per class of one case, by one fold or (None) by the mean of all."""
        workspace = self.context.workspace(self.project_id)
        image = read_case_image(workspace, entry.case_id)
        truth = read_image(workspace.label_png(entry.case_id))
        if fold is None:
            probabilities = self.predictor.predict(image).mean(axis=0)
        else:
            probabilities = self.predictor.predict_single_fold(image, fold)
        predicted = self._integers()[postprocessed(probabilities, self.steps).argmax(axis=0)]
        return named_dice(predicted, truth, self.class_values)

    def _integers(self) -> npt.NDArray[np.uint8]:
        # The order of labels may have changed since; a class that the project lacks is background.
        names = self.class_values
        return np.array(
            [0, *(names.index(n) + 1 if n in names else 0 for n in self.predicted_values)],
            np.uint8,
        )


def _by_all_folds(
    measure: _Measure, entries: tuple[ManifestEntry, ...] | list[ManifestEntry], beat: Beat
) -> DicePerCase:
    dice: DicePerCase = {}
    for entry in entries:
        beat()
        dice[entry.case_id] = measure.dice(entry, None)
    return dice


def _out_of_fold(
    measure: _Measure, champion: VersionRow, old: Manifest, new: Manifest, beat: Beat
) -> DicePerCase:
    old_entries = {entry.case_id: entry for entry in old.entries}
    known: DicePerCase = champion.metrics.get("dice_per_case", {})
    fold_of_group = {entry.group: entry.fold for entry in old.entries}
    folds = measure.predictor.folds
    dice: DicePerCase = {}
    for entry in new.entries:
        beat()
        before = old_entries.get(entry.case_id)
        if before and before.content_hash == entry.content_hash and entry.case_id in known:
            dice[entry.case_id] = dict(known[entry.case_id])
            continue
        # No fold has seen a case of a new group: with another number of folds any of them will do.
        fold = (
            before.fold
            if before
            else fold_of_group.get(entry.group, folds[entry.fold % len(folds)])
        )
        if fold in folds:
            dice[entry.case_id] = measure.dice(entry, fold)
    return dice
