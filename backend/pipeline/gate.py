"""Challenger against champion on the same out-of-fold cases; promotion only if not worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.pipeline.context import AppContext
from backend.pipeline.devices import prediction_device
from backend.settings import ProjectSettings
from backend.store import runs
from backend.store.models import RunRow, VersionRow
from domain.case import Manifest
from domain.status import VersionStatus
from training.cases import read_image
from training.evaluation import mean_over_cases, named_dice
from training.nnunet.predictor import load_cached
from training.presets import preset_by_name
from training.versions import package_version

DicePerCase = dict[str, dict[str, float]]
"""{case id: {class: Dice in [0, 1]}}."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer and its numbers.

    Means are over cases and classes, on the cases both were measured on; ``champion`` is None when
    there was none.
    """

    is_promoted: bool
    challenger: float
    champion: float | None
    n_cases: int
    margin: float
    reason: str


def judge(challenger: DicePerCase, champion: DicePerCase | None, margin: float) -> Verdict:
    """Promotes unless the mean paired difference of Dice is below ``-margin``."""
    common = sorted(challenger.keys() & champion.keys()) if champion else []
    if not champion or not common:
        mean = _mean(challenger, sorted(challenger))
        reason = (
            "the first version that serves"
            if champion is None
            else "nothing to compare: the version that serves has other classes or folds"
        )
        return Verdict(True, mean, None, len(challenger), margin, reason)
    new, old = _mean(challenger, common), _mean(champion, common)
    is_promoted = new - old >= -margin
    reason = f"mean out-of-fold Dice {new:.3f} against {old:.3f} on {len(common)} cases: " + (
        "not worse" if is_promoted else f"worse by more than {margin:.3f}"
    )
    return Verdict(is_promoted, new, old, len(common), margin, reason)


def evaluate_run(context: AppContext, run_id: int, beat: Callable[[], None]) -> bool:
    """Packs the run's folds into a version and lets the gate decide; True when it was promoted."""
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        folds = runs.folds_of(session, run_id)
        champion = runs.champion(session, run.project_id)
        version = runs.version_of_run(session, run_id)
    if version is not None:
        # This step ran before and was cut off after its transaction.
        return version.status == VersionStatus.CHAMPION
    assert run.manifest is not None  # noqa: S101 - prepare_run wrote it
    manifest = Manifest.from_json(run.manifest)
    challenger_dice: DicePerCase = {}
    for fold in folds:
        challenger_dice.update((fold.result or {}).get("dice_per_case", {}))
    champion_dice = _champion_dice(context, champion, manifest, beat) if champion else None
    settings = ProjectSettings.model_validate(run.settings)
    verdict = judge(challenger_dice, champion_dice, settings.gate_margin)
    name = f"nnloop-v{run.number}"
    path = package_version(
        context.workspace(run.project_id),
        str(run.number),
        name,
        class_values=manifest.class_values,
        n_channels=run.manifest["n_channels"],
        preset=preset_by_name(run.manifest["preset"]),
        folds=[fold.fold for fold in folds],
    )
    with context.store.begin() as session:
        row = VersionRow(
            project_id=run.project_id,
            run_id=run_id,
            name=name,
            path=str(path),
            status=VersionStatus.REJECTED,
            metrics={
                "labels": len(manifest.entries),
                "oof_dice": mean_over_cases(challenger_dice),
                "dice_per_case": challenger_dice,
                "warm_started": [f.fold for f in folds if (f.result or {}).get("warm_started")],
                "gate": asdict(verdict),
            },
        )
        session.add(row)
        session.flush()
        if verdict.is_promoted:
            runs.promote(session, row)
    return verdict.is_promoted


def _champion_dice(
    context: AppContext, champion: VersionRow, manifest: Manifest, beat: Callable[[], None]
) -> DicePerCase:
    """The champion's out-of-fold Dice on the challenger's cases, with today's annotations.

    A case the champion was trained on is predicted by the fold that held it out; one it has never
    seen by the fold that would have. Numbers of unchanged cases are taken from its own training.
    """
    with context.store.begin() as session:
        champion_run = session.get_one(RunRow, champion.run_id)
    old = Manifest.from_json(champion_run.manifest or {})
    if old.class_values != manifest.class_values:
        return {}
    old_entries = {entry.case_id: entry for entry in old.entries}
    known: Mapping[str, Any] = champion.metrics.get("dice_per_case", {})
    fold_of_group = {entry.group: entry.fold for entry in old.entries}
    workspace = context.workspace(champion.project_id)
    predictor = load_cached(Path(champion.path), device=prediction_device())
    dice: DicePerCase = {}
    for entry in manifest.entries:
        beat()
        before = old_entries.get(entry.case_id)
        if before and before.content_hash == entry.content_hash and entry.case_id in known:
            dice[entry.case_id] = dict(known[entry.case_id])
            continue
        fold = before.fold if before else fold_of_group.get(entry.group, entry.fold)
        if fold not in predictor.folds:
            continue
        image = read_image(workspace.image_png(entry.case_id))
        truth = read_image(workspace.label_png(entry.case_id))
        probabilities = predictor.predict_single_fold(image, fold)
        predicted = probabilities.argmax(axis=0).astype(np.uint8)
        dice[entry.case_id] = named_dice(predicted, truth, manifest.class_values)
    return dice


def _mean(dice: DicePerCase, cases: list[str]) -> float:
    return float(np.mean([np.mean(list(dice[case].values())) for case in cases]))
