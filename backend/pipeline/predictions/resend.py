"""Sends scores that a new calibration has changed, of predictions that were pushed already."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from backend.label_studio import PushedPrediction
from backend.pipeline.basis.context import AppContext
from backend.store.models import VersionRow
from backend.store.quality import scores
from domain.errors import MissingError

logger = logging.getLogger(__name__)

PART = 250
"""Predictions looked up at once."""

FEW = 20
"""Up to so many are changed one by one. More are deleted by their tasks, in one call, and pushed
again with the rest: for 100 that took a seventh of the time (5 s and 36 s on a busy machine)."""

RESEND_S = 3.0
"""What is left after this time follows with the next push: others wait for Label Studio too."""


def resend_scores(context: AppContext, project_id: int, version: VersionRow) -> int:
    """Brings a part of the scores that have moved to Label Studio, the lowest first; how many.

    Of few only the number is changed. Many are taken out, and count as not pushed from before that
    on: whoever pushes next sends them whole. A task that also holds what another model said is
    never cleared: that is not nnloop's.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    with context.store.begin() as session:
        wanted = scores.rescored(session, version.id, PART)
    if not wanted:
        return 0
    held: dict[int, list[PushedPrediction]] = {task_id: [] for task_id in wanted}
    for row in context.label_studio.iter_predictions(project_id, task_ids=list(wanted)):
        held[row.task_id].append(row)
    own = {
        task_id: [row.id for row in rows if row.model_version == version.name and row.id]
        for task_id, rows in held.items()
    }
    lone = [task_id for task_id, rows in held.items() if len(rows) == len(own[task_id]) == 1]
    if len(lone) > FEW:
        with context.store.begin() as session:
            scores.mark_not_held(session, version.id, lone)
        context.label_studio.clear_predictions(project_id, lone)
        n_sent = len(lone)
    else:
        n_sent = _change(context, version, wanted, own)
    logger.info("Project %d: %d scores of %s are sent anew.", project_id, n_sent, version.name)
    return n_sent


def _change(
    context: AppContext,
    version: VersionRow,
    wanted: Mapping[int, float],
    own: Mapping[int, list[int]],
) -> int:
    """Changes scores one by one; how many. Predictions that are not there are pushed as a whole."""
    deadline = time.monotonic() + RESEND_S
    sent: dict[int, float] = {}
    missing: list[int] = []
    for task_id, score in wanted.items():
        if time.monotonic() > deadline:
            break
        try:
            for prediction_id in own[task_id]:
                context.label_studio.set_score(prediction_id, score)
        except MissingError:
            missing.append(task_id)
            continue
        if own[task_id]:
            sent[task_id] = score
        else:
            missing.append(task_id)
    with context.store.begin() as session:
        scores.mark_sent(session, version.id, sent)
        scores.mark_not_held(session, version.id, missing)
    return len(sent)
