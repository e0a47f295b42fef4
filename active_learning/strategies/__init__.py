"""Which tasks next: pure functions from a pool to a batch, by name."""

from active_learning.strategies.pool import Indices, Pool, Strategy, unpredicted
from active_learning.strategies.registry import (
    STRATEGY_NAMES,
    acting_strategy,
    needs_embeddings,
    strategy_by_name,
)

__all__ = [
    "STRATEGY_NAMES",
    "Indices",
    "Pool",
    "Strategy",
    "acting_strategy",
    "needs_embeddings",
    "strategy_by_name",
    "unpredicted",
]
