"""The pool that queues are filled from: what the store knows of unlabelled tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from active_learning.measures import ImageMeasures
from active_learning.strategies import Indices, Pool, acting_strategy, strategy_by_name
from backend.pipeline.basis.embeddings import for_strategy
from backend.store.models import VersionRow
from backend.store.tasks import elsewhere, queues
from backend.store.training import versions

BEGUN = "begun"
"""In the place of a strategy's name: a person has begun the task without being given it."""

CHANCE = "random"
"""What the control arm draws by."""

BY_CHANCE = "stratified_random"
"""In the place of a strategy that does not pay."""


@dataclass(frozen=True, slots=True)
class QueuePool:
    """All unlabelled tasks as the strategies see them.

    ``version_id`` is whose predictions they are; None before the first. ``strategy`` is the one
    that really acts, ``scores`` has the tasks that are predicted, ``sources`` whose identity is
    what.
    """

    pool: Pool
    version_id: int | None
    strategy: str
    scores: Mapping[int, float]
    sources: Mapping[int, str]

    def choose(self, pool: Pool, k: int, rng: np.random.Generator) -> Indices:
        """What the strategy chooses from a part of the pool."""
        return strategy_by_name(self.strategy)(pool, k, rng)


def open_pool(session: Session, project_id: int, version_id: int | None, wanted: str) -> QueuePool:
    """Reads the pool of a project.

    Args:
        session: Of the store.
        project_id: Whose tasks.
        version_id: By whose predictions; None before the first version: then by the scores that
            another program's predictions were imported with.
        wanted: The strategy that is asked.
    """
    tasks = queues.pool(session, project_id, version_id)
    n_labelled = queues.count_labelled(session, project_id)
    if version_id is None:
        said = elsewhere.scores(session, project_id)
        tasks = [replace(task, score=said.get(task.id)) for task in tasks]
    quality = np.array([np.nan if t.score is None else t.score for t in tasks], dtype=np.float64)
    found = [task.measures for task in tasks]
    ids = [task.id for task in tasks]
    embedded, labelled = for_strategy(session, project_id, ids, wanted)
    pool = Pool(
        task_ids=np.array(ids, dtype=np.int64),
        quality=np.clip(quality, 0.0, 1.0),
        measures={
            "entropy": _measure(found, "entropy"),
            "mutual_information": _measure(found, "known_information"),
            "pairwise_dice": _measure(found, "pairwise_dice"),
            "soft_dice": _measure(found, "soft_dice"),
        },
        class_shares=_class_shares(found),
        embeddings=embedded,
        labelled_embeddings=labelled,
        # No goal is set: what is planned is to label all there is.
        progress=n_labelled / max(1, n_labelled + len(tasks)),
    )
    return QueuePool(
        pool=pool,
        version_id=version_id,
        strategy=acting_strategy(wanted, pool),
        scores={task.id: task.score for task in tasks if task.score is not None},
        sources={task.id: task.source for task in tasks},
    )


def _measure(found: Sequence[ImageMeasures | None], name: str) -> npt.NDArray[np.float64]:
    values = [None if one is None else getattr(one, name) for one in found]
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _class_shares(found: Sequence[ImageMeasures | None]) -> npt.NDArray[np.float64]:
    """(n, C) by the classes that any prediction knows, in the order of their names."""
    names = sorted({name for one in found if one is not None for name in one.classes})
    shares = np.full((len(found), len(names)), np.nan)
    for row, one in enumerate(found):
        if one is not None:
            shares[row] = [one.classes[n].share if n in one.classes else 0.0 for n in names]
    return np.clip(shares, 0.0, 1.0)


def scoring_version(session: Session, project_id: int) -> VersionRow | None:
    """The version by whose predictions tasks are chosen: the serving one once all of it is there.

    While it still scores the pool the one before it is asked, which has seen all.
    """
    champion = versions.champion(session, project_id)
    if champion is None or champion.published_at is not None:
        return champion
    return versions.former(session, project_id, champion.id)
