"""The control arm's intervals cover what they say, and only finished batches count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from active_learning import control_arm
from active_learning.control_arm import Draw, gain, mean_of, n_waiting, pool_quality

Floats = npt.NDArray[np.float64]


def dice(rng: np.random.Generator, n: int) -> Floats:
    """Like Dice: most are good, one in eight is bad."""
    return np.where(rng.random(n) < 0.12, rng.beta(1, 4, n), rng.beta(18, 3, n))


def coins(rng: np.random.Generator, n: int) -> Floats:
    """As far apart as values in [0, 1] can be."""
    return (rng.random(n) < 0.9).astype(np.float64)


MEAN_OF_DICE = 0.12 * 1 / 5 + 0.88 * 18 / 21


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 10, 30])
@pytest.mark.parametrize(("values", "mean"), [(dice, MEAN_OF_DICE), (coins, 0.9)])
def test_nine_of_ten_intervals_cover_the_mean(n: int, values: object, mean: float) -> None:
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(300):
        found = mean_of(list(values(rng, n)))  # type: ignore[operator]
        hits += found is not None and found.low <= mean <= found.high
    # 300 at .9 give 270; three standard deviations below that are 254.
    assert hits >= 254


@pytest.mark.slow
def test_looking_after_every_value_does_not_spoil_the_interval() -> None:
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(60):
        values = list(dice(rng, 24))
        looks = [mean_of(values[:n]) for n in range(1, 25)]
        misses += any(e is not None and not e.low <= MEAN_OF_DICE <= e.high for e in looks)
    assert misses <= 13  # 6 of 60, and three standard deviations


def test_the_interval_narrows_with_values_and_never_with_doubt() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for n in (5, 20, 80):
        found = mean_of(list(dice(rng, n)))
        assert found is not None and 0 <= found.low <= found.mean <= found.high <= 1
        widths.append(found.high - found.low)
    assert widths[0] > widths[1] > widths[2] and widths[2] < 0.2


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_equal_values(value: float) -> None:
    found = mean_of([value] * 50)
    assert found is not None
    assert (found.n, found.mean) == (50, value)
    assert found.low <= value <= found.high
    assert found.high - found.low < 0.2


def test_no_value_and_wrong_values() -> None:
    assert mean_of([]) is None
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            mean_of([0.5, wrong])


def draw(batch: int, quality: float | None, *, control: bool = True, over: bool = True) -> Draw:
    return Draw(batch, control, over, quality)


def test_a_batch_counts_when_all_of_it_has_an_end() -> None:
    done = [draw(1, 0.4), draw(1, 0.8), draw(1, 0.2, control=False), draw(1, None)]
    begun = [draw(2, 0.1), draw(2, 0.1), draw(2, None, control=False, over=False)]
    found = pool_quality([*begun, *done])
    assert found is not None
    assert found.n == 2
    assert found.mean == pytest.approx(0.6)
    assert pool_quality(begun) is None
    assert pool_quality([]) is None


def test_what_the_strategy_finds_beside_chance() -> None:
    rng = np.random.default_rng(3)
    found = gain(
        [
            *(draw(b, q) for b, q in enumerate(dice(rng, 60), start=1)),
            *(draw(b, q, control=False) for b, q in enumerate(rng.beta(2, 4, 300), start=1)),
        ]
    )
    assert found is not None
    assert (found.n, found.control_error.n) == (300, 60)
    assert found.strategy_error == pytest.approx(2 / 3, abs=0.05)
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx(2 / 3 - (1 - MEAN_OF_DICE), abs=0.15)
    assert found.pays is True


@pytest.mark.parametrize(
    ("n", "pays"), [(control_arm.ENOUGH - 1, None), (control_arm.ENOUGH, False)]
)
def test_a_strategy_that_is_no_better_than_chance_is_said_not_to_pay_after_enough(
    n: int, pays: bool | None
) -> None:
    values = list(dice(np.random.default_rng(4), n))
    found = gain([draw(1, q) for q in values] + [draw(1, q, control=False) for q in values])
    assert found is not None and found.pays is pays


def test_of_one_arm_alone_there_is_no_gain() -> None:
    assert gain([draw(1, 0.5)]) is None
    assert gain([draw(1, 0.5, control=False)]) is None
    assert gain([]) is None


def test_what_is_labelled_in_a_batch_under_way_waits() -> None:
    done = [draw(1, 0.4), draw(1, 0.2, control=False)]
    begun = [draw(2, 0.1), draw(2, 0.3, control=False), draw(2, None, control=False, over=False)]
    assert n_waiting([*done, *begun]) == 2
    assert n_waiting(done) == n_waiting([]) == 0


def test_of_few_good_tasks_the_estimate_lies_near_the_end_of_its_interval() -> None:
    """Chance found nearly nothing: it can only have been more. That is no fault of the interval."""
    found = gain([draw(1, 0.97), draw(1, 0.97), draw(1, 0.84, control=False)])
    assert found is not None
    assert found.low == pytest.approx(0.16 - found.control_error.high)
    assert found.mean == pytest.approx(0.13) and found.high == pytest.approx(0.16, abs=0.001)
