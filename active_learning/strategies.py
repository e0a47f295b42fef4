"""Query strategies: a Pool of unlabelled tasks in, a Ranking out; first = label next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class PoolTask:
    """An unlabelled task and what the serving model says about it.

    ``score`` is the expected quality in [0, 1]; ``uncertainty`` holds named measures.
    """

    task_id: int
    score: float
    uncertainty: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not (math.isfinite(self.score) and 0.0 <= self.score <= 1.0):
            raise ValueError(
                f"The score of task {self.task_id} must be in [0, 1], got {self.score}."
            )


Pool: TypeAlias = Sequence[PoolTask]
"""The unlabelled tasks that have a prediction, in any order."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Task ids, the one to label next first, and the name of the strategy that ordered them."""

    strategy: str
    task_ids: tuple[int, ...]


class QueryStrategy(Protocol):
    """Orders a pool. The same pool gives the same ranking, whatever order it comes in."""

    @property
    def name(self) -> str:
        """A stable word for settings, the store and pages."""
        ...

    def rank(self, pool: Pool) -> Ranking:
        """Every task of the pool exactly once."""
        ...


@dataclass(frozen=True, slots=True)
class LowestScoreFirst:
    """The task whose prediction is expected to be worst; ties go to the lower task id.

    That is how Label Studio's own uncertainty sampling orders tasks by score.
    """

    name: str = "lowest_score_first"

    def rank(self, pool: Pool) -> Ranking:
        """Orders by score ascending, then task id ascending."""
        ordered = sorted(pool, key=lambda task: (task.score, task.task_id))
        return Ranking(strategy=self.name, task_ids=tuple(task.task_id for task in ordered))
