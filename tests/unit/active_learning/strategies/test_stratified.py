from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from active_learning.strategies import Pool, strategy_by_name
from active_learning.strategies.stratified import FIRST_BETA, LAST_BETA, beta
from tests.unit.active_learning.strategies.pools import plain


def of_classes(*rows: tuple[int, tuple[int, ...]]) -> npt.NDArray[np.float64]:
    """(how many tasks, the classes of three that they show) -> class shares."""
    shares = [[0.1 * (c in classes) for c in range(3)] for n, classes in rows for _ in range(n)]
    return np.array(shares)


def classes_drawn(pool: Pool, k: int, name: str = "stratified_random") -> Counter[str]:
    """Over 200 batches: how many tasks of each set of classes per batch."""
    drawn: Counter[str] = Counter()
    for seed in range(200):
        rows = strategy_by_name(name)(pool, k, np.random.default_rng(seed))
        for shares in pool.class_shares[rows]:
            drawn["".join(str(c) for c in np.flatnonzero(shares > 0))] += 1
    return Counter({key: value / 200 for key, value in drawn.items()})


def test_each_class_has_the_same_share_however_rare_it_is() -> None:
    pool = plain(300, class_shares=of_classes((240, (0,)), (50, (1,)), (10, (2,))))
    assert classes_drawn(pool, 12) == {"0": 4.0, "1": 4.0, "2": 4.0}


def test_a_class_that_runs_out_leaves_its_turns_to_the_others() -> None:
    pool = plain(202, class_shares=of_classes((100, (0,)), (100, (1,)), (2, (2,))))
    assert classes_drawn(pool, 12) == {"0": 5.0, "1": 5.0, "2": 2.0}


def test_fewer_places_than_classes_change_about() -> None:
    pool = plain(30, class_shares=of_classes((10, (0,)), (10, (1,)), (10, (2,))))
    drawn = classes_drawn(pool, 1)
    assert all(0.2 < drawn[c] < 0.47 for c in "012")  # 1/3, four deviations around it


@pytest.mark.parametrize(
    ("n_empty", "share"),
    [
        (900, 1 / 2),  # far more than a class gets: as much as a class
        (100, 1 / 2),
        (25, 1 / 5),  # of 125 tasks: as at random
        (5, 1 / 21),  # of 105
    ],
)
def test_empty_images_get_a_share_of_their_own_but_no_more_than_at_random(
    n_empty: int, share: float
) -> None:
    pool = plain(100 + n_empty, class_shares=of_classes((100, (0,)), (n_empty, ())))
    # 200 batches of 4: the mean deviates by 0.07 at most.
    assert classes_drawn(pool, 4)[""] == pytest.approx(4 * share, abs=0.2)


def test_where_all_images_show_the_same_it_is_random() -> None:
    pool = plain(10, class_shares=of_classes((10, (0, 1))))
    drawn = np.zeros(10)
    for seed in range(1000):
        drawn[strategy_by_name("stratified_random")(pool, 3, np.random.default_rng(seed))] += 1
    # Chi-square with 9 degrees of freedom exceeds 27.9 in one of a thousand.
    assert float(((drawn - 300) ** 2 / 300).sum()) < 27.9


def test_what_is_not_predicted_comes_last() -> None:
    shares = of_classes((3, (0,)), (2, ()), (95, (1,)))
    shares[5:] = np.nan
    for name in ("stratified_random", "class_stratified"):
        chosen = strategy_by_name(name)(
            plain(100, class_shares=shares), 6, np.random.default_rng(0)
        )
        assert set(chosen[:5].tolist()) == set(range(5))


def test_the_noise_ebbs_from_one_to_a_hundredth() -> None:
    assert (beta(0.0), beta(0.5), beta(1.0)) == pytest.approx((FIRST_BETA, 10.0, LAST_BETA))


def test_two_thirds_by_class_and_the_rest_by_score() -> None:
    """At the end of the schedule noise changes little: what is chosen follows from the scores."""
    shares = of_classes((90, (0,)), (5, (1,)), (5, (2,)))
    quality = np.concatenate([np.linspace(0.1, 0.5, 90), np.full(10, 0.95)])
    pool = plain(100, class_shares=shares, quality=quality, progress=1.0)
    # Of 12, 8 are in turns for three classes: 3, 3 and 2; the other 4 have the lowest scores.
    found = classes_drawn(pool, 12, "class_stratified")
    assert found["1"] + found["2"] == pytest.approx(16 / 3, abs=0.15)
    low = strategy_by_name("class_stratified")(pool, 12, np.random.default_rng(0))
    assert np.sort(quality[low])[:6].max() < 0.25


def test_at_the_start_noise_makes_batches_differ_more_than_at_the_end() -> None:
    quality = np.linspace(0.0, 0.9, 60)

    def kinds(progress: float) -> int:
        pool = plain(60, quality=quality, progress=progress)
        rows = [
            strategy_by_name("class_stratified")(pool, 5, np.random.default_rng(seed))
            for seed in range(30)
        ]
        return len(set(np.concatenate(rows).tolist()))

    assert kinds(0.0) > 40 > 12 > kinds(1.0)
