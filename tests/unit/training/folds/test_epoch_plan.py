from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.folds.epoch_plan import MEASURING_SHARE, EpochPlan


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(
    clock: Clock, *, epochs: int = 50, budget_s: float | None = None, patience: int | None = None
) -> EpochPlan:
    return EpochPlan(epochs, budget_s=budget_s, patience=patience, started=clock.now, clock=clock)


def train(plan: EpochPlan, clock: Clock, done: int, seconds: float, loss: float = 0.0) -> int:
    clock.now += seconds
    return plan.epoch_done(done, trained_s=seconds, measured_s=0.0, val_loss=loss, dice=None)


def test_without_budget_the_trainer_decides() -> None:
    clock = Clock()
    plan = make(clock)
    assert plan.start(0, step_s=0.0, iterations=25, val_iterations=2) == 50
    assert train(plan, clock, 1, 1000.0) == 50
    assert plan.stopped == ""
    assert plan.iterations(9.0, 25, 2) == (25, 2)


def test_a_budget_leaves_room_for_the_prediction_and_follows_the_machines_speed() -> None:
    clock = Clock()
    plan = make(clock, budget_s=1000.0)
    plan.prediction_s = 100.0
    clock.now += 100.0
    # 800 s are left; an epoch is guessed at 0.5 * (30 + 0.5 * 20) = 20 s.
    assert plan.start(0, step_s=0.5, iterations=30, val_iterations=20) == 40
    assert plan.stopped == "budget"
    # Twice as slow as guessed: 760 s are left, 19 more epochs fit.
    assert train(plan, clock, 1, 40.0) == 20
    assert plan.eta_s(1, 20) == pytest.approx(19 * 40 + 100)


@given(st.floats(0.001, 10), st.floats(10, 5000), st.integers(1, 300), st.integers(1, 100))
def test_a_budget_is_kept_to_an_epoch(
    step_s: float, budget_s: float, iterations: int, val_iterations: int
) -> None:
    clock = Clock()
    plan = make(clock, budget_s=budget_s)
    steps = plan.iterations(step_s, iterations, val_iterations)
    assert 1 <= steps[0] <= iterations
    assert 1 <= steps[1] <= val_iterations
    total = plan.start(0, step_s=step_s, iterations=steps[0], val_iterations=steps[1])
    epoch_s = step_s * (steps[0] + 0.5 * steps[1])
    assert total == 1 or total * epoch_s <= budget_s + 1e-6
    if min(steps) > 1:
        assert total >= 9


def test_a_spent_budget_still_trains_one_epoch() -> None:
    clock = Clock()
    plan = make(clock, budget_s=5.0)
    clock.now += 50.0
    assert plan.start(0, step_s=1.0, iterations=2, val_iterations=1) == 1
    assert train(plan, clock, 1, 10.0) == 1


def test_a_plateau_shortens_the_rest() -> None:
    clock = Clock()
    plan = make(clock, epochs=500, patience=10)
    total = plan.start(0, step_s=0.0, iterations=1, val_iterations=1)
    done = 0
    while done < total:
        done += 1
        total = train(plan, clock, done, 1.0)
    # Still from the first epoch on: seen after 11, ended 3 epochs later.
    assert done == 14
    assert plan.stopped == "plateau"


def test_a_plateau_wins_over_a_budget_that_would_allow_more() -> None:
    clock = Clock()
    plan = make(clock, budget_s=1000.0, patience=5)
    total = plan.start(0, step_s=1.0, iterations=1, val_iterations=1)
    done = 0
    while done < total:
        done += 1
        total = train(plan, clock, done, 1.0)
    assert done == 9
    assert plan.stopped == "plateau"


def test_measuring_keeps_to_its_share() -> None:
    clock = Clock()
    plan = make(clock)
    plan.start(0, step_s=0.0, iterations=1, val_iterations=1)
    measured = 0.0
    for done in range(1, 101):
        cost = 3.0 if plan.may_measure(3.0, 10.0) else 0.0
        measured += cost
        clock.now += 10.0 + cost
        plan.epoch_done(done, trained_s=10.0, measured_s=cost, val_loss=0.0, dice=None)
    assert 0.8 * MEASURING_SHARE * 1000 <= measured <= MEASURING_SHARE * 1000


def test_an_interrupted_plan_knows_what_was_spent() -> None:
    """The result tells the time of all processes; a budget is each process's own."""
    clock = Clock()
    plan = make(clock, budget_s=100.0)
    plan.start(0, step_s=1.0, iterations=10, val_iterations=0)
    train(plan, clock, 1, 10.0)
    saved = json.loads(json.dumps(plan.to_json()))
    later = Clock()
    again = make(later, budget_s=100.0)
    again.restore(saved)
    later.now += 5.0
    assert again.spent_s == 15.0
    assert again.left_s == 95.0
    assert again.start(1, step_s=1.0, iterations=10, val_iterations=0) == 1 + 9
    assert again.trained_s == 10.0


def simulate(slow: float, slow_until: float, budget_s: float = 100.0) -> tuple[int, float]:
    """Optimiser steps of a fold on a machine that is busy at first, and seconds it took.

    A step takes 0.2 s, and an epoch 0.3 s beside its steps.
    """
    clock = Clock()
    plan = make(clock, budget_s=budget_s)
    begin = clock.now

    def step_s() -> float:
        return 0.2 * (slow if clock.now - begin < slow_until else 1.0)

    full = (50, 2)
    steps = plan.iterations(step_s(), *full)
    total = plan.start(0, step_s=step_s(), iterations=steps[0], val_iterations=steps[1])
    done = n_steps = 0
    while done < total:
        done += 1
        n_steps += steps[0]
        began, measured = clock.now, step_s()
        for _ in range(steps[0]):
            clock.now += step_s()
        measured = (clock.now - began) / steps[0]
        clock.now += 0.3
        later = plan.iterations(measured, *full)
        total = plan.epoch_done(
            done,
            trained_s=clock.now - began,
            measured_s=0.0,
            val_loss=0.0,
            dice=None,
            next_steps=later,
        )
        steps = later
    return n_steps, clock.now - begin


def test_a_machine_that_was_busy_when_steps_were_timed_costs_a_fold_little() -> None:
    quiet, quiet_s = simulate(1.0, 0.0)
    busy, busy_s = simulate(20.0, 3.0)
    assert quiet_s <= 101.0 and busy_s <= 101.0
    assert busy > 0.85 * quiet


def test_a_machine_that_gets_busy_ends_within_an_epoch_of_the_budget() -> None:
    clock = Clock()
    plan = make(clock, budget_s=100.0)
    steps = plan.iterations(0.1, 50, 0)
    assert steps[0] == 50
    total = plan.start(0, step_s=0.1, iterations=50, val_iterations=0)
    assert total == 20
    clock.now += 100 * 0.1 * 5  # ten times slower than it was
    slower = plan.iterations(1.0, 50, 0)
    assert slower == (10, 1)
    total = plan.epoch_done(
        1, trained_s=50.0, measured_s=0.0, val_loss=0.0, dice=None, next_steps=slower
    )
    # 50 s are left: four epochs of ten steps of a second, and one of validation.
    assert total == 1 + 4
    assert plan.epoch_s == pytest.approx(10.5)
