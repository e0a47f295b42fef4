"""Challenger against champion on the same out-of-fold cases; promotion only if not worse."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.notices import Event, keep_notice
from backend.pipeline.basis.warm_predictor import prediction_device, warm_predictor
from backend.pipeline.doubts.keep import keep_doubts, may_doubt, read_doubts
from backend.pipeline.gate.challenger import Challenger, Judged, add_judged, judge_challenger
from backend.pipeline.gate.champion import FoldOfCase, project_integers
from backend.pipeline.gate.postprocess import postprocessing_of
from backend.pipeline.gate.retention import prune_quietly
from backend.pipeline.gate.verdict import DicePerCase
from backend.store.models import FoldRow, RunRow, VersionRow
from backend.store.training import runs, versions
from domain.doubts import DoubtsPerCase
from domain.prediction import most_probable
from domain.states import VersionStatus
from training.case_files import read_case_image, read_image
from training.evaluation import ClassDice, mean_over_cases, named_dice
from training.folds.left_behind import in_words, left_behind
from training.nnunet.inference.postprocessing import postprocessed
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.inference.trial import try_version
from training.versions.keep_largest import KeepLargest, read_postprocessing
from training.versions.manifests import RunManifest
from training.versions.metrics import PostprocessingFound, VersionMetrics
from training.versions.version_folder import (
    VersionInfo,
    library_versions,
    package_version,
    size_bytes,
)
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
    manifest = runs.manifest_of(run)
    n_cases_of_class = cases_of_class(manifest.n_folds, folds)
    behind = left_behind([fold.result for fold in folds if fold.result is not None])
    remark = in_words(behind, versions.name_of(run), len(folds))
    if behind:
        logger.warning("Project %d: %s.", run.project_id, remark)
        folds = [fold for fold in folds if fold.result not in behind]
    doubt = ""
    if any(_may_have_seen(manifest, f.fold) for f in folds):
        doubt = (
            "it began with weights of which nobody can tell what they have seen, so its held-out "
            "Dice may be too high"
        )
    remark = "; ".join(filter(None, [remark, doubt]))
    dice: DicePerCase = {}
    for fold in folds:
        if fold.result is not None:
            dice.update(fold.result.dice_per_case)
    postprocessing = postprocessing_of(context, run, folds, beat)
    found: PostprocessingFound | None = None
    if postprocessing is not None:
        found = PostprocessingFound(
            tuple(step.labels for step in postprocessing.steps), mean_over_cases(dice)
        )
        dice = postprocessing.dice_per_case
    metrics = VersionMetrics(
        labels=len(manifest.entries),
        oof_dice=mean_over_cases(dice),
        dice_per_case=dice,
        warm_started=tuple(f.fold for f in folds if f.result and f.result.warm_started),
        postprocessing=found,
        remark=remark,
        cases_of_class=n_cases_of_class,
    )
    path = _package(context, run, [fold.fold for fold in folds], metrics)
    honest = [k for k in (f.fold for f in folds) if not _may_have_seen(manifest, k)]
    doubts = read_doubts(context.workspace(run.project_id), run.number, honest)
    challenger = Challenger(
        project_id=run.project_id,
        manifest=manifest,
        dice=dice,
        margin=run.settings.gate_margin,
        why_unmeasured="all labelled images are of one group, so none was held out to measure it "
        "on",
        remark=doubt and f"{versions.name_of(run)}: {doubt}",
    )
    while True:
        with context.store.begin() as session:
            champion = versions.champion(session, run.project_id)
        judged = _judge(context, champion, challenger, beat)
        row = VersionRow(
            project_id=run.project_id,
            run_id=run_id,
            name=versions.name_of(run),
            path=str(path),
            status=VersionStatus.REJECTED,
            metrics=judged.added_to(metrics),
            size_bytes=size_bytes(path),
        )
        is_promoted = judged.verdict.is_promoted
        keep = partial(
            _keep_with,
            context=context,
            run=run,
            version=row,
            judged=judged,
            doubts=doubts,
        )
        is_added = add_judged(
            context,
            row,
            champion,
            is_promoted=is_promoted,
            with_it=keep,
        )
        if is_added:
            break
        # A person promoted another version while this one was measured against the old.
    logger.info("Project %d: %s: %s", run.project_id, row.name, judged.verdict.reason)
    prune_quietly(context, run.project_id)
    return judged.verdict.is_promoted


def _keep_with(
    session: Session,
    *,
    context: AppContext,
    run: RunRow,
    version: VersionRow,
    judged: Judged,
    doubts: DoubtsPerCase,
) -> None:
    """What is written with a version: which labels it doubts, and who is told of it."""
    if may_doubt(judged.verdict):
        manifest = runs.manifest_of(run)
        keep_doubts(
            session, version=version, manifest=manifest, candidates=run.candidates, found=doubts
        )
    event = Event.PROMOTED if judged.verdict.is_promoted else Event.REFUSED
    keep_notice(
        session,
        context.settings,
        run,
        event,
        version=version.name,
        verdict=judged.verdict.reason,
    )


def _may_have_seen(manifest: RunManifest, fold: int) -> bool:
    """Whether nobody can tell that a fold's weights have not seen what it holds out."""
    start = manifest.start_of(fold)
    return start is not None and start.seen is None


def cases_of_class(n_folds: int, folds: Sequence[FoldRow]) -> dict[str, int]:
    """Class -> cases that show it; {} where not every case was held out by one of the folds."""
    found: Counter[str] = Counter()
    for fold in folds:
        if fold.result is not None:
            found.update(fold.result.cases_of_class)
    return dict(found) if 1 < n_folds == len(folds) else {}


def _package(
    context: AppContext, run: RunRow, folds: Sequence[int], metrics: VersionMetrics
) -> Path:
    manifest = runs.manifest_of(run)
    info = VersionInfo(
        name=versions.name_of(run),
        class_values=manifest.class_values,
        n_channels=manifest.n_channels,
        preset=manifest.preset,
        folds=tuple(sorted(folds)),
        libraries=library_versions(),
        settings=run.settings.model_dump(mode="json"),
    )
    workspace = context.workspace(run.project_id)

    def check(folder: Path) -> None:
        # Loaded where it will serve: training may have run on another kind of device.
        image = read_case_image(workspace, manifest.entries[0].case_id)
        try_version(folder, image, device=prediction_device())

    return package_version(
        workspace, run.number, info, manifest=manifest, metrics=metrics, check=check
    )


def _judge(
    context: AppContext, champion: VersionRow | None, challenger: Challenger, beat: Beat
) -> Judged:
    current = challenger.in_current_names(context)
    if champion is None:
        return judge_challenger(context, None, current, None)
    networks = _WarmJudge(
        context=context,
        workspace=context.workspace(champion.project_id),
        version_dir=Path(champion.path),
        class_values=current.manifest.class_values,
        beat=beat,
    )
    return judge_challenger(context, champion, current, networks)


@dataclass(frozen=True)
class _WarmJudge:
    """A version's networks on the project's cases, in the classes of today."""

    context: AppContext
    workspace: Workspace
    version_dir: Path
    class_values: tuple[str, ...]
    beat: Beat

    @cached_property
    def _predictor(self) -> FoldPredictor:
        return warm_predictor(self.context.settings, None, self.version_dir)

    @cached_property
    def _steps(self) -> tuple[KeepLargest, ...]:
        return read_postprocessing(self.version_dir)

    @property
    def folds(self) -> tuple[int, ...]:
        return self._predictor.folds

    def dice(self, cases: Sequence[FoldOfCase], predicted: tuple[str, ...]) -> DicePerCase:
        integers = np.array(project_integers(predicted, self.class_values), np.uint8)
        found: DicePerCase = {}
        for entry, fold in cases:
            self.beat()
            found[entry.case_id] = self._dice(entry.case_id, fold, integers)
        return found

    def _dice(self, case_id: str, fold: int | None, integers: npt.NDArray[np.uint8]) -> ClassDice:
        image = read_case_image(self.workspace, case_id)
        truth = read_image(self.workspace.label_png(case_id))
        if fold is None:
            probabilities = self._predictor.predict_maps(image).mean()
        else:
            probabilities = self._predictor.predict_single_fold(image, fold)
        classes = integers[most_probable(postprocessed(probabilities, self._steps))]
        return named_dice(classes, truth, self.class_values)
