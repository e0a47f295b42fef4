import random

import pytest

from active_learning.strategies import LowestScoreFirst, PoolTask, QueryStrategy, Ranking


def test_lowest_score_first_and_ties_by_task_id() -> None:
    pool = [PoolTask(4, 0.9), PoolTask(3, 0.1), PoolTask(9, 0.5), PoolTask(2, 0.5)]
    strategy: QueryStrategy = LowestScoreFirst()
    expected = Ranking("lowest_score_first", (3, 2, 9, 4))
    for seed in range(5):
        random.Random(seed).shuffle(pool)
        assert strategy.rank(pool) == expected


def test_an_empty_pool() -> None:
    assert LowestScoreFirst().rank([]).task_ids == ()


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.01, 1.01])
def test_a_score_outside_0_to_1_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"task 3 must be in \[0, 1\]"):
        PoolTask(3, score)
