from __future__ import annotations

import pytest

from training.nnunet.learning.timing import steady_step_s


class Trainer:
    """Steps of some seconds, on a clock of its own; a batch that is made ready costs nothing."""

    def __init__(self, step_s: float, batch_s: float, n_ready: int) -> None:
        self.now, self.taken = 50.0, 0
        self._step_s, self._batch_s, self.num_cached = step_s, batch_s, n_ready

    def step(self) -> None:
        self.taken += 1
        allocations = 5.0 if self.taken == 1 else 0.0
        waited = self._batch_s if self.taken > self.num_cached else 0.0
        self.now += self._step_s + allocations + waited


@pytest.mark.parametrize("n_ready", [0, 1, 6])
def test_batches_that_were_ready_are_not_timed(n_ready: int) -> None:
    trainer = Trainer(0.01, 0.2, n_ready)
    # The first step takes the time allowed: as on a GPU, where it is the slowest by far.
    trainer.taken = 1
    found = steady_step_s(trainer.step, trainer, lambda: trainer.now)
    assert found == pytest.approx(0.21)


def test_slow_steps_are_not_waited_for() -> None:
    trainer = Trainer(3.0, 0.0, 100)
    assert steady_step_s(trainer.step, trainer, lambda: trainer.now) == pytest.approx(3.0)
    assert trainer.taken == 4


def test_a_loader_without_processes_has_nothing_ready() -> None:
    trainer = Trainer(0.1, 0.1, 0)
    assert steady_step_s(trainer.step, object(), lambda: trainer.now) == pytest.approx(0.2)
