"""Who died, or stands still, at a run or a fold: it is freed, and a run's step counts as failed."""

from __future__ import annotations

import logging

from backend.pipeline.basis.context import AppContext
from backend.pipeline.runs.ends import retry
from backend.store.training import leases
from domain.errors import StackError
from domain.text import counted

logger = logging.getLogger(__name__)


def free_lapsed(context: AppContext) -> None:
    """Frees what nobody holds any more. To be called again and again by one process.

    A fold counts its own starts (``folds.train.MAX_STARTS``). A run's step that kills whoever takes
    it is tried ever less often, and at last ends the run, as one that fails does.
    """
    with context.store.begin() as session:
        run_ids, n_folds = leases.free_lapsed(session, context.seen_leases)
    if n_folds:
        logger.warning("%s freed: nobody renews the lease.", counted(n_folds, "fold"))
    for run_id in run_ids:
        logger.warning("Run %d is freed: nobody renews its lease.", run_id)
        died = StackError(
            "The worker that had the run died at it, or stood still.",
            remedy="Its log and the system's log may say why: often memory ran out.",
        )
        retry(context, run_id, died)
