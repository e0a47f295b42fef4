"""What holds for every strategy, whatever the pool."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.strategies import (
    STRATEGY_NAMES,
    Pool,
    acting_strategy,
    strategy_by_name,
    unpredicted,
)
from tests.unit.active_learning.strategies.pools import plain, pools

NAMES = st.sampled_from(STRATEGY_NAMES)


def batch(name: str, pool: Pool, k: int, seed: int = 0) -> list[int]:
    """Ids of the tasks chosen."""
    chosen = strategy_by_name(name)(pool, k, np.random.default_rng(seed))
    assert chosen.dtype == np.intp
    return [int(task_id) for task_id in pool.task_ids[chosen]]


@given(pools(), NAMES, st.integers(0, 30))
@settings(max_examples=200, deadline=None)
def test_a_batch_is_a_set_of_so_many_tasks(pool: Pool, name: str, k: int) -> None:
    found = batch(name, pool, k)
    assert len(found) == len(set(found)) == min(k, len(pool))
    assert set(found) <= set(pool.task_ids.tolist())


@given(pools(), NAMES, st.integers(0, 10), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_the_rows_says_nothing(pool: Pool, name: str, k: int, random: object) -> None:
    rows = np.arange(len(pool))
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert batch(name, pool.part(rows), k) == batch(name, pool, k)


@pytest.mark.parametrize("name", ["lowest_score", "entropy", "bald", "fold_disagreement"])
def test_of_equal_scores_the_lower_ids_come_first(name: str) -> None:
    measures = {m: np.full(6, 0.5) for m in ("entropy", "mutual_information", "pairwise_dice")}
    pool = plain(6, task_ids=np.array([9, 3, 7, 1, 8, 2]), measures=measures)
    assert batch(name, pool, 3) == [1, 2, 3]


@pytest.mark.parametrize("name", ["lowest_score", "entropy", "bald", "fold_disagreement"])
def test_what_most_needs_a_label_comes_first_and_what_nobody_knows_last(name: str) -> None:
    good = np.array([0.9, 0.1, np.nan, 0.5])
    measures = {"entropy": 1 - good, "mutual_information": 1 - good, "pairwise_dice": good}
    pool = plain(4, quality=good, measures=measures)
    assert batch(name, pool, 4) == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("name", "missing", "acts"),
    [
        ("lowest_score", {"quality": np.full(6, np.nan)}, "typical"),
        ("entropy", {"measures": {}}, "lowest_score"),
        ("power_bald", {"measures": {"entropy": np.ones(6)}}, "power_lowest_score"),
        (
            "softrank_entropy",
            {"measures": {"entropy": np.full(6, np.nan)}},
            "softrank_lowest_score",
        ),
        ("class_stratified_entropy", {"measures": {}}, "class_stratified"),
        ("class_stratified", {"class_shares": np.full((6, 2), np.nan)}, "lowest_score"),
        ("typical", {"embeddings": None}, "stratified_random"),
        ("core_set", {"embeddings": np.full((6, 2), np.nan, np.float32)}, "stratified_random"),
        ("diverse", {"embeddings": None}, "lowest_score"),
        ("stratified_random", {"class_shares": np.empty((6, 0))}, "random"),
    ],
)
def test_who_acts_where_something_is_missing(
    name: str, missing: dict[str, object], acts: str
) -> None:
    whole = {
        "measures": {m: np.ones(6) for m in ("entropy", "mutual_information", "pairwise_dice")},
        "embeddings": np.ones((6, 2), np.float32),
    }
    assert acting_strategy(name, plain(6, **whole)) == name
    lacking = plain(6, **(whole | missing))
    assert acting_strategy(name, lacking) == acts
    assert batch(name, lacking, 3) == batch(acts, lacking, 3)


def test_embeddings_of_less_than_half_the_tasks_are_none() -> None:
    few = np.full((6, 2), np.nan, np.float32)
    few[:2] = 1.0
    assert acting_strategy("typical", plain(6, embeddings=few)) == "stratified_random"
    few[2] = 1.0
    assert acting_strategy("typical", plain(6, embeddings=few)) == "typical"


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_every_strategy_gives_a_batch_where_nothing_is_known(name: str) -> None:
    pool = unpredicted(np.arange(40), n_classes=2)
    assert acting_strategy(name, pool) == "random"
    assert batch(name, pool, 8, seed=1) == batch("random", pool, 8, seed=1)
    assert batch(name, unpredicted(np.arange(0)), 8) == []
