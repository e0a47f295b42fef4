from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from training.folds.plateau import Plateau


def feed(plateau: Plateau, dice: list[float | None], *, loss: float = -0.5) -> None:
    for epoch, value in enumerate(dice, start=1):
        plateau.add(epoch, val_loss=loss, dice=value)


def test_a_dice_that_stands_still_is_a_plateau_after_the_patience() -> None:
    plateau = Plateau(5)
    feed(plateau, [0.2, 0.5, *[0.7] * 30])
    assert plateau.reached is not None
    # The running mean goes on rising for some epochs after the values stopped.
    assert 10 < plateau.reached < 30


def test_a_rising_dice_is_none() -> None:
    plateau = Plateau(5)
    feed(plateau, [0.01 * i for i in range(90)])
    assert plateau.reached is None
    assert plateau.last_epoch(1000) == 1000


def test_without_patience_none_is_ever_seen() -> None:
    plateau = Plateau(None)
    feed(plateau, [0.5] * 100)
    assert plateau.reached is None


def test_the_loss_counts_until_dice_was_measured() -> None:
    still = Plateau(5)
    feed(still, [None] * 20)
    assert still.reached == 6
    falling = Plateau(5)
    for epoch in range(1, 40):
        falling.add(epoch, val_loss=1.0 - 0.02 * epoch, dice=None)
    assert falling.reached is None
    # Measured Dice overrules a loss that stands still.
    overruled = Plateau(5)
    feed(overruled, [0.01 * i for i in range(60)])
    assert overruled.reached is None


def test_two_measurements_far_apart_are_no_plateau() -> None:
    plateau = Plateau(5)
    sparse: list[float | None] = [0.5, 0.5, 0.5, *[None] * 9, 0.5]
    feed(plateau, sparse)
    assert plateau.reached == 13
    two = Plateau(5)
    feed(two, [0.1, 0.3, 0.5, *[None] * 9, 0.5, None])
    assert two.reached is None


def test_a_loss_that_is_not_a_number_is_passed_over() -> None:
    plateau = Plateau(3)
    for epoch in range(1, 10):
        plateau.add(epoch, val_loss=float("nan"), dice=None)
    assert plateau.reached is None


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_the_ending_is_short_and_never_longer_than_planned(reached: int, planned: int) -> None:
    plateau = Plateau(1, reached=reached)
    last = plateau.last_epoch(planned)
    assert last <= planned
    assert last == planned or reached + 3 <= last <= reached + 3 + reached // 10


def test_a_restored_one_goes_on_as_if_nothing_had_happened() -> None:
    values: list[float | None] = [0.1, 0.4, *[0.6] * 40]
    whole = Plateau(8)
    feed(whole, values)
    first, second = Plateau(8), Plateau(8)
    feed(first, values[:12])
    second.restore(json.loads(json.dumps(first.to_json())))
    for epoch, value in enumerate(values[12:], start=13):
        second.add(epoch, val_loss=-0.5, dice=value)
    assert second.reached == whole.reached is not None
