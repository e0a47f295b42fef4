"""The pool that queues are filled from: what the store knows of unlabelled tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from active_learning.strategies import (
    STRATEGY_NAMES,
    Indices,
    Pool,
    acting_strategy,
    strategy_by_name,
)
from backend.pipeline.basis.context import AppContext
from backend.settings import ProjectSettings
from backend.store import queues, versions
from backend.store.models import VersionRow

AUTO = "auto"
"""The setting's word for: ``WITH_MODEL`` or ``WITHOUT_MODEL``."""

WITH_MODEL = "lowest_score"
WITHOUT_MODEL = "typical"


@dataclass(frozen=True, slots=True)
class QueuePool:
    """All unlabelled tasks as the strategies see them.

    ``version_id`` is whose scores they are; None before the first. ``strategy`` is the one that
    really acts, ``scores`` has the tasks that are predicted, ``sources`` the tasks' identities.
    """

    pool: Pool
    version_id: int | None
    strategy: str
    scores: Mapping[int, float]
    sources: Mapping[int, str]

    def choose(self, pool: Pool, k: int, rng: np.random.Generator) -> Indices:
        """What the strategy chooses from a part of the pool."""
        return strategy_by_name(self.strategy)(pool, k, rng)


def open_pool(context: AppContext, project_id: int, settings: ProjectSettings) -> QueuePool:
    """Reads the pool of a project."""
    with context.store.read() as session:
        version = _scoring_version(session, project_id)
        tasks = queues.pool(session, project_id, version.id if version else None)
    quality = np.array([np.nan if t.score is None else t.score for t in tasks], dtype=np.float64)
    pool = Pool(
        task_ids=np.array([task.id for task in tasks], dtype=np.int64),
        quality=np.clip(quality, 0.0, 1.0),
        measures={},
        class_shares=np.full((len(tasks), 0), np.nan),
    )
    wanted = settings.query_strategy
    if wanted == AUTO:
        wanted = WITHOUT_MODEL if version is None else WITH_MODEL
    if wanted not in STRATEGY_NAMES:
        wanted = "random"
    return QueuePool(
        pool=pool,
        version_id=version.id if version else None,
        strategy=acting_strategy(wanted, pool),
        scores={task.id: task.score for task in tasks if task.score is not None},
        sources={task.id: task.source for task in tasks},
    )


def _scoring_version(session: Session, project_id: int) -> VersionRow | None:
    """The version by whose scores tasks are chosen: the serving one once all of it is there.

    While it still scores the pool the one before it is asked, which has seen all.
    """
    champion = versions.champion(session, project_id)
    if champion is None or champion.published_at is not None:
        return champion
    return versions.former(session, project_id, champion.id)
