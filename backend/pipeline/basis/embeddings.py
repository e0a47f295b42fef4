"""Whether a project needs embeddings of its images. Loads no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from active_learning.strategies import needs_embeddings
from backend.pipeline.basis.context import AppContext
from backend.store import embeddings, projects
from backend.store.models import ProjectRow
from training.pretrained import has_weights

AUTO = "auto"

Vectors: TypeAlias = npt.NDArray[np.float32]


def are_wanted(project: ProjectRow) -> bool:
    """Whether what fills the project's queues looks at embeddings.

    With ``auto`` typical images are asked for until there is a version.
    """
    strategy = project.settings.query_strategy
    if strategy == AUTO:
        return project.champion_id is None
    return needs_embeddings(strategy)


def are_missing(context: AppContext, project_id: int) -> bool:
    """Whether some are to be made: they are wanted, and not all there."""
    if not has_weights():
        return False  # who asks for them gets another strategy, and is told so
    with context.store.read() as session:
        project = projects.get(session, project_id)
        return (
            are_wanted(project)
            and project_id not in projects.halted(session)
            and embeddings.is_missing_some(session, project_id)
        )


def for_strategy(
    session: Session, project_id: int, task_ids: Sequence[int], strategy: str
) -> tuple[Vectors | None, Vectors | None]:
    """What a strategy gets to see of embeddings, where it looks at them.

    Args:
        session: Of the store.
        project_id: Whose tasks.
        task_ids: The pool's n.
        strategy: Its name.

    Returns:
        (n, d) of the pool, a row of NaN where there is none, and (m, d) of what is labelled; None
        where there is none at all, or the strategy does not need them.
    """
    if not needs_embeddings(strategy):
        return None, None
    return (
        embeddings.of_tasks(session, project_id, task_ids),
        embeddings.of_labelled(session, project_id),
    )
