"""Sends scores that a new calibration has changed, of predictions that were pushed already."""

from __future__ import annotations

import logging
import time

from backend.pipeline.basis.context import AppContext
from backend.store import scores
from backend.store.models import VersionRow
from domain.errors import MissingError

logger = logging.getLogger(__name__)

PART = 100
"""Predictions looked up at once."""

RESEND_S = 3.0
"""What is left after this time follows with the next push: others wait for Label Studio too."""


def resend_scores(context: AppContext, project_id: int, version: VersionRow) -> int:
    """Changes the scores that have moved, the lowest first; how many.

    Only the number is sent: regions, and whatever a person has open, stay. What Label Studio does
    not hold any more is pushed as a whole the next time.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    deadline = time.monotonic() + RESEND_S
    n_sent = 0
    while time.monotonic() < deadline:
        with context.store.begin() as session:
            wanted = scores.rescored(session, version.id, PART)
        if not wanted:
            break
        theirs = context.label_studio.iter_predictions(
            project_id, version.name, task_ids=list(wanted)
        )
        held = {row.task_id: row.id for row in theirs if row.id is not None}
        sent: dict[int, float] = {}
        missing = wanted.keys() - held.keys()
        for task_id in wanted:
            if time.monotonic() > deadline:
                break
            if task_id in missing:
                continue
            try:
                context.label_studio.set_score(held[task_id], wanted[task_id])
            except MissingError:
                missing = missing | {task_id}
                continue
            sent[task_id] = wanted[task_id]
        with context.store.begin() as session:
            scores.mark_sent(session, version.id, sent)
            scores.mark_not_held(session, version.id, missing)
        n_sent += len(sent)
    if n_sent:
        logger.info("Project %d: %d scores of %s sent anew.", project_id, n_sent, version.name)
    return n_sent
