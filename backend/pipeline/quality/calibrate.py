"""Calibrations of versions: fitted to honest pairs, and the scores that are made anew by them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from active_learning.calibration import (
    Calibration,
    Pair,
    cross_fitted,
    fit,
    is_due,
    pool_weights,
)
from active_learning.reliability import reliability
from backend.pipeline.basis.context import AppContext
from backend.store.models import VersionRow
from backend.store.quality import pairs, scores
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.training import runs, versions
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


@dataclass(frozen=True, slots=True)
class ScorePair:
    """A quality that was expected, and the one it turned out to be; both in [0, 1].

    ``low`` and ``high`` are the interval's ends; None where there was none.
    """

    expected: float
    true: float
    low: float | None
    high: float | None


def calibrate(session: Session, version: VersionRow) -> None:
    """Fits a version's calibration to all honest pairs there are, and measures its reliability.

    That is its own corrections, those of the version that served before (a committee of the same
    project), and the cases its own folds held out. What a queue has shown is weighted so that it
    speaks for the pool.

    Args:
        session: Of the store; the version's row is in it.
        version: Which.
    """
    known = _known(session, version)
    together, cap = [*known.shown, *known.held_out], _cap(version)
    version.calibration = replace(fit(together, cap=cap), n_own=len(known.own))
    version.metrics = replace(
        version.metrics,
        reliability={kind: reliability_of(some) for kind, some in _score_pairs(known, cap).items()},
    )
    logger.info(
        "Project %d: %s is calibrated on %d corrections and %d held-out cases.",
        version.project_id,
        version.name,
        len(known.shown),
        len(known.held_out),
    )


def score_pairs(session: Session, version: VersionRow) -> dict[str, tuple[ScorePair, ...]]:
    """What scores of a version expected against what was true, by kind; no kind without pairs.

    ``CORRECTED`` ones as they were pushed, ``HELD_OUT`` ones as a calibration says that has not
    seen them.
    """
    return _score_pairs(_known(session, version), _cap(version))


@dataclass(frozen=True, slots=True)
class _Known:
    """The honest pairs that speak about a version.

    Attributes:
        own: Its own corrections.
        shown: These and those of the version before, weighted for the pool.
        held_out: The cases its folds held out.
    """

    own: Sequence[HonestPairRow]
    shown: Sequence[Pair]
    held_out: Sequence[Pair]


def _known(session: Session, version: VersionRow) -> _Known:
    former = versions.former(session, version.project_id, version.id)
    own = pairs.pairs_of(session, [version.id])
    shown = _corrections(session, version.id, own)
    if former is not None:
        shown += _corrections(session, former.id, pairs.pairs_of(session, [former.id]))
    return _Known(own, shown, _held_out(session, version))


def recalibrate(context: AppContext, project_id: int) -> int:
    """Calibrates the serving version anew when enough honest pairs have come; how many scores move.

    Scores are made of the measures that are stored with each prediction: nothing is predicted.
    Those that move by more than ``SAME_SCORE`` are sent to Label Studio anew. The pairs in the
    store say whether it is due: whoever comes by next does what a worker that died has left.
    """
    with context.store.read() as session:
        if _due(session, project_id) is None:
            return 0  # nearly always, and at every reading: nobody is held up for it
    with context.store.begin() as session:
        version = _due(session, project_id)
        if version is None:
            return 0
        calibrate(session, version)
        n_moved = scores.rescore(session, version.id, calibration_of(version), SAME_SCORE)
    logger.info("Project %d: %d scores of %s are new.", project_id, n_moved, version.name)
    return n_moved


def _due(session: Session, project_id: int) -> VersionRow | None:
    """The serving version, if enough pairs have come since it was calibrated."""
    version = versions.champion(session, project_id)
    if version is None:
        return None
    n_then = version.calibration.n_own if version.calibration else 0
    return version if is_due(n_then, pairs.count(session, version.id)) else None


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


def _score_pairs(known: _Known, cap: float) -> dict[str, tuple[ScorePair, ...]]:
    found = {
        CORRECTED: tuple(
            ScorePair(row.score, row.dice, row.score_low, row.score_high)
            for row in known.own
            if row.score is not None and row.dice is not None
        )
    }
    if known.held_out:
        expected = cross_fitted([*known.shown, *known.held_out], cap=cap)
        score, low, high = (side[len(known.shown) :].tolist() for side in expected)
        true = [pair.dice for pair in known.held_out]
        found[HELD_OUT] = tuple(map(ScorePair, score, true, low, high))
    return {kind: some for kind, some in found.items() if some}


def reliability_of(some: Sequence[ScorePair]) -> Reliability:
    """The figures of pairs."""
    return reliability(
        [one.expected for one in some],
        [one.true for one in some],
        [
            (one.low, one.high) if one.low is not None and one.high is not None else None
            for one in some
        ],
    )
