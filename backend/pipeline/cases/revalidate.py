"""Images overwritten in place: which cases are looked at again before a training."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.images import is_overwritten
from backend.store import identity
from backend.store.models import TaskRow
from domain.errors import ImageError
from domain.labels import LabelConfig

logger = logging.getLogger(__name__)

# Spent at the start of a training on asking for images it has already. Those not looked at for the
# longest time come first, so a large project is gone through over several trainings; one of 200
# uploads is each time.
REVALIDATE_S = 5.0


def revalidate(
    context: AppContext, tasks: Sequence[TaskRow], config: LabelConfig, beat: Beat
) -> int:
    """Looks whether images that were fetched before are still the same; how many are not.

    What is found stands in ``image_hash`` of the rows, those given and the store's.

    Raises:
        LabelStudioError: Label Studio does not answer.
    """
    deadline = time.monotonic() + REVALIDATE_S
    n_overwritten = 0
    unchanged: list[int] = []
    known = (task for task in tasks if task.image_hash)
    for task in sorted(known, key=lambda task: task.image_checked_at):
        if time.monotonic() > deadline:
            break
        beat()
        try:
            is_other = is_overwritten(context, task, config)
        except ImageError:
            continue  # its field is gone: whoever draws the case says so
        if is_other:
            n_overwritten += 1
            logger.info("Task %d: its image was overwritten under the same address.", task.id)
        else:
            unchanged.append(task.id)
    with context.store.begin() as session:
        identity.mark_checked(session, unchanged)
    return n_overwritten
