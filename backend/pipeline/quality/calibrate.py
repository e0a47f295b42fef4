"""Calibrations of versions: fitted to honest pairs, and the scores that are made anew by them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from active_learning.calibration import (
    Calibration,
    Floats,
    Pair,
    cross_fitted,
    fit,
    is_due,
    pool_weights,
)
from active_learning.reliability import reliability
from backend.pipeline.basis.context import AppContext
from backend.store import pairs, runs, scores, versions
from backend.store.models import VersionRow
from backend.store.pair_rows import HonestPairRow
from domain.reliability import Reliability
from training.evaluation import image_dice
from training.versions.working_size import WorkingSize

logger = logging.getLogger(__name__)

SAME_SCORE = 0.01
"""A score that moves by less is not sent anew: nobody can see it, and it orders nothing."""

HELD_OUT, CORRECTED = "held out", "corrected"
"""Kinds of pairs in ``VersionMetrics.reliability``."""


def calibration_of(version: VersionRow) -> Calibration:
    """A version's, also before one was fitted: the prior's, below what its resolution can reach."""
    return version.calibration or Calibration(cap=_cap(version))


def calibrate(session: Session, version: VersionRow) -> None:
    """Fits a version's calibration to all honest pairs there are, and measures its reliability.

    That is its own corrections, those of the version that served before (a committee of the same
    project), and the cases its own folds held out. What a queue has shown is weighted so that it
    speaks for the pool.

    Args:
        session: Of the store; the version's row is in it.
        version: Which.
    """
    former = versions.former(session, version.project_id, version.id)
    own = pairs.pairs_of(session, [version.id])
    before = pairs.pairs_of(session, [former.id]) if former is not None else []
    shown = [*_corrections(session, version.id, own)]
    if former is not None:
        shown += _corrections(session, former.id, before)
    held_out = _held_out(session, version)
    together, cap = [*shown, *held_out], _cap(version)
    version.calibration = replace(fit(together, cap=cap), n_own=len(own))
    found = {CORRECTED: _as_pushed(own)}
    if held_out:
        expected = tuple(side[len(shown) :] for side in cross_fitted(together, cap=cap))
        found[HELD_OUT] = _reliability(expected, held_out)
    version.metrics = replace(
        version.metrics, reliability={kind: figures for kind, figures in found.items() if figures.n}
    )
    logger.info(
        "Project %d: %s is calibrated on %d corrections and %d held-out cases.",
        version.project_id,
        version.name,
        len(shown),
        len(held_out),
    )


def recalibrate(context: AppContext, project_id: int) -> int:
    """Calibrates the serving version anew when enough honest pairs have come; how many scores move.

    Scores are made of the measures that are stored with each prediction: nothing is predicted.
    Those that move by more than ``SAME_SCORE`` are sent to Label Studio anew.
    """
    with context.store.begin() as session:
        version = versions.champion(session, project_id)
        if version is None:
            return 0
        n_then = version.calibration.n_own if version.calibration else 0
        if not is_due(n_then, pairs.count(session, version.id)):
            return 0
        calibrate(session, version)
        n_moved = scores.rescore(session, version.id, calibration_of(version), SAME_SCORE)
    logger.info("Project %d: %d scores of %s are new.", project_id, n_moved, version.name)
    return n_moved


def _cap(version: VersionRow) -> float:
    size = WorkingSize.of_version(Path(version.path))
    return max(size.most, 0.1) if size is not None else 1.0


def _corrections(session: Session, version_id: int, rows: Sequence[HonestPairRow]) -> list[Pair]:
    found = [
        Pair.of(row.measures, row.dice)
        for row in rows
        if row.measures is not None and row.dice is not None
    ]
    weights = pool_weights(
        [pair.soft_dice for pair in found], scores.soft_dices(session, version_id)
    )
    return [
        replace(pair, weight=weight) for pair, weight in zip(found, weights.tolist(), strict=True)
    ]


def _held_out(session: Session, version: VersionRow) -> list[Pair]:
    """Of the cases that the version's own folds held out; of none that may have been seen before.

    Their Dice is that of the version, after its postprocessing.
    """
    if version.run_id is None:
        return []
    manifest = versions.manifest_of(session, version)
    doubtful = {k for k, start in enumerate(getattr(manifest, "starts", ())) if start.seen is None}
    return [
        Pair(expected.soft_dice, image_dice(dice.values()), True, expected.is_empty)
        for fold in runs.folds_of(session, version.run_id)
        if fold.result is not None and fold.fold not in doubtful
        for case_id, expected in fold.result.expected.items()
        if (dice := version.metrics.dice_per_case.get(case_id)) is not None
        and math.isfinite(expected.soft_dice)
    ]


def _as_pushed(rows: Sequence[HonestPairRow]) -> Reliability:
    """Of the scores that were said before the truth was known."""
    known = [row for row in rows if row.score is not None and row.dice is not None]
    return reliability(
        [row.score or 0.0 for row in known],
        [row.dice or 0.0 for row in known],
        [
            (row.score_low, row.score_high)
            if row.score_low is not None and row.score_high is not None
            else None
            for row in known
        ],
    )


def _reliability(expected: Sequence[Floats], found: Sequence[Pair]) -> Reliability:
    score, low, high = expected
    intervals = list(zip(low.tolist(), high.tolist(), strict=True))
    return reliability(score, [pair.dice for pair in found], intervals)
