import numpy as np
import pytest

from active_learning.strategies import Pool, strategy_by_name
from active_learning.strategies.order import Values, highest_first
from active_learning.strategies.scores import Noise, power, softmax, softrank
from tests.unit.active_learning.strategies.pools import plain

N_DRAWS = 20_000


def shares_of_firsts(noise: Noise, scores: Values) -> Values:
    """How often each score came first."""
    rng = np.random.default_rng(0)
    firsts = [int(highest_first(noise(scores, rng))[0]) for _ in range(N_DRAWS)]
    return np.bincount(firsts, minlength=scores.size) / N_DRAWS


# The Gumbel-max trick: the highest of log(w) + noise is i with the chance w[i] / sum(w).
@pytest.mark.parametrize(
    ("noise", "weights"),
    [
        (softmax, np.exp([0.0, 1.0, 2.0, 0.5])),
        (softrank, 1 / np.array([4.0, 2.0, 1.0, 3.0])),
        (power, np.array([0.0, 1.0, 2.0, 0.5])),
        (lambda scores, rng: power(scores, rng, 2.0), np.array([0.0, 1.0, 4.0, 0.25])),
    ],
)
def test_the_first_of_a_batch_is_drawn_with_the_chance_the_paper_says(
    noise: Noise, weights: Values
) -> None:
    found = shares_of_firsts(noise, np.array([0.0, 1.0, 2.0, 0.5]))
    expected = weights / weights.sum()
    possible = expected > 0
    assert found[~possible].sum() == 0
    deviation = (found - expected)[possible] ** 2 / expected[possible]
    # Chi-square with at most 3 degrees of freedom exceeds 16.3 in one of a thousand.
    assert N_DRAWS * float(deviation.sum()) < 16.3


def test_a_batch_is_drawn_without_putting_back() -> None:
    """Gumbel-top-2 is drawing twice in proportion (Kool et al. 2019), pairs and their order."""
    weights = np.array([1.0, 2.0, 3.0])
    rng = np.random.default_rng(0)
    pairs = [tuple(highest_first(power(weights, rng))[:2].tolist()) for _ in range(N_DRAWS)]
    chi_square = 0.0
    for a in range(3):
        for b in {0, 1, 2} - {a}:
            expected = N_DRAWS * weights[a] / 6 * weights[b] / (6 - weights[a])
            chi_square += (pairs.count((a, b)) - expected) ** 2 / expected
    assert chi_square < 20.5  # 5 degrees of freedom, one of a thousand


def test_tasks_that_need_nothing_come_last_and_at_random() -> None:
    scores = np.zeros(50)
    scores[[3, 40]] = [1e-12, 0.5]
    orders = [highest_first(power(scores, np.random.default_rng(seed))) for seed in range(20)]
    assert all(set(order[:2].tolist()) == {3, 40} for order in orders)
    assert len({int(order[2]) for order in orders}) > 5


def test_ranks_do_not_care_for_the_size_of_scores() -> None:
    def pool(quality: Values) -> Pool:
        return plain(4, quality=quality)

    strategy = strategy_by_name("softrank_lowest_score")
    few, far = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 0.001, 0.9, 1.0])
    for seed in range(20):
        one = strategy(pool(few), 2, np.random.default_rng(seed))
        assert one.tolist() == strategy(pool(far), 2, np.random.default_rng(seed)).tolist()
