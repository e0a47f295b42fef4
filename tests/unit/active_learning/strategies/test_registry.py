import numpy as np
import pytest

from active_learning.strategies import STRATEGY_NAMES, strategy_by_name, unpredicted
from domain.errors import SettingsError


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="no query strategy 'guess'") as caught:
        strategy_by_name("guess")
    assert all(name in caught.value.remedy for name in STRATEGY_NAMES)


def test_random_draws_each_task_equally_often() -> None:
    pool = unpredicted(np.arange(10))
    rng = np.random.default_rng(0)
    drawn = np.bincount(
        np.concatenate([strategy_by_name("random")(pool, 3, rng) for _ in range(4000)])
    )
    # Chi-square with 9 degrees of freedom exceeds 27.9 in one of a thousand.
    assert float(((drawn - 1200) ** 2 / 1200).sum()) < 27.9


def test_a_negative_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        strategy_by_name("random")(unpredicted(np.arange(3)), -1, np.random.default_rng(0))
