"""Whether a project needs embeddings of its images. Loads no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from active_learning.strategies import MOST_TYPICAL, needs_embeddings
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.query_strategy import WITHOUT_MODEL, wanted_strategy
from backend.store import projects
from backend.store.models import ProjectRow
from backend.store.tasks import embeddings, snapshots
from domain.states import TaskState
from training.pretrained import has_weights

Vectors: TypeAlias = npt.NDArray[np.float32]


def _wanted_of(project: ProjectRow) -> int | None:
    """Of how many unlabelled tasks what fills the queues looks at embeddings; None: of all.

    Of typical images, which are asked for until there is a version, only so many are looked at.
    """
    strategy = wanted_strategy(project.settings, project.champion_id)
    if strategy == WITHOUT_MODEL:
        return MOST_TYPICAL
    return None if needs_embeddings(strategy) else 0


def are_missing(context: AppContext, project_id: int) -> bool:
    """Whether some are to be made: they are wanted, and not all there."""
    with context.store.read() as session:
        is_halted = project_id in projects.halted(session)
        return not is_halted and _lacks_some(session, projects.get(session, project_id))


def _lacks_some(session: Session, project: ProjectRow) -> bool:
    wanted = _wanted_of(project)
    # Without weights who asks for them gets another strategy, and is told so.
    return (
        wanted != 0
        and has_weights()
        and (wanted is None or embeddings.count(session, project.id) < wanted)
        and embeddings.is_missing_some(session, project.id)
    )


class LookedAt(NamedTuple):
    """How many unlabelled tasks have an embedding, of those that are wanted."""

    n: int
    wanted: int


def under_way(session: Session, project: ProjectRow) -> LookedAt | None:
    """How far the embeddings are; None where none is wanted, or none is missing."""
    if not _lacks_some(session, project):
        return None
    wanted = _wanted_of(project)
    n_tasks = snapshots.counts(session, project.id)[TaskState.UNLABELLED]
    n = embeddings.count(session, project.id)
    return LookedAt(n, n_tasks if wanted is None else min(wanted, n_tasks))


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
