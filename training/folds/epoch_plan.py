"""EpochPlan: how many epochs a fold trains, as its own times and figures decide while it runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from training.folds.plateau import Plateau

_RECENT = 5
"""Epochs averaged: a machine's speed changes with what else runs on it."""

MIN_BUDGET_EPOCHS = 10
"""A budget that holds fewer epochs makes them shorter: a schedule of 2 steps is none, and the last
epoch may overrun the budget by its own length."""

MEASURING_SHARE = 0.1
"""Of the training time, at most, spent on the full-image Dice of held-out cases."""


class EpochPlan:
    """Plans the epochs of one fold: the trainer's number, or what fits a budget, or a plateau's.

    Attributes:
        stopped: As ``FoldResult.stopped``.
        prediction_s: Seconds set aside for predicting all held-out cases at the end.
        trained_s: Seconds of training and validation, over all attempts.
        measured_s: Seconds of the full-image Dice in between, over all attempts.
    """

    def __init__(
        self,
        epochs: int,
        *,
        budget_s: float | None,
        patience: int | None,
        started: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing trained yet.

        Args:
            epochs: The trainer's own number, at least 1; a budget replaces it.
            budget_s: Seconds from ``started`` to the fold's result; None: no limit.
            patience: See ``Plateau``.
            started: When the process started, on ``clock``.
            clock: Seconds.
        """
        self.stopped = ""
        self.prediction_s = self.trained_s = self.measured_s = 0.0
        self._epochs, self._budget_s = epochs, budget_s
        self._plateau = Plateau(patience)
        self._clock, self._started, self._before_s = clock, started, 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._steps = 1.0
        self._guess_s = 0.0
        self._mark = clock()
        self._began: float | None = None

    @property
    def has_budget(self) -> bool:
        """Whether epochs are planned to fit a time."""
        return self._budget_s is not None

    @property
    def spent_s(self) -> float:
        """Seconds since the start of the process, those of earlier attempts included."""
        return self._before_s + self._here_s

    @property
    def _here_s(self) -> float:
        return self._clock() - self._started

    def start(self, done: int, *, step_s: float, iterations: int, val_iterations: int) -> int:
        """Plans before the first epoch of this process.

        Args:
            done: Epochs trained by earlier attempts.
            step_s: Seconds of one optimiser step; 0 when not measured, which only a plan without
                budget can do without.
            iterations: Optimiser steps per epoch.
            val_iterations: Validation steps per epoch; one counts half an optimiser step.

        Returns:
            Epochs to train in all.
        """
        self._steps = _steps(iterations, val_iterations)
        self._guess_s = step_s * self._steps
        self._mark = self._began = self._clock()
        return self.total(done)

    def epoch_done(
        self,
        done: int,
        *,
        trained_s: float,
        measured_s: float,
        val_loss: float,
        dice: float | None,
        next_steps: tuple[int, int] | None = None,
    ) -> int:
        """Takes an epoch's figures.

        Args:
            done: Epochs trained, 1 after the first.
            trained_s: Seconds of training and validation.
            measured_s: Seconds of measuring ``dice``.
            val_loss: For ``Plateau``.
            dice: For ``Plateau``, or None: not measured, or nothing to measure it on.
            next_steps: Optimiser and validation steps of the epochs to come; None: as before.

        Returns:
            Epochs to train in all.
        """
        now = self._clock()
        # From mark to mark: writing checkpoints and reports takes its time too.
        self._recent.append((now - self._mark, self._steps))
        self._mark = now
        if next_steps is not None:
            self._steps = _steps(*next_steps)
        self.trained_s += trained_s
        self.measured_s += measured_s
        self._plateau.add(done, val_loss=val_loss, dice=dice)
        return self.total(done)

    def total(self, done: int) -> int:
        """Epochs to train in all, at least 1 and at least ``done``."""
        planned = self._epochs
        if (left_s := self.left_s) is not None:
            self.stopped = self.stopped or "budget"
            fitting = int(max(left_s, 0.0) / max(self.epoch_s, 1e-3))
            planned = max(done + fitting, 1)
        last = self._plateau.last_epoch(planned)
        if last < planned:
            self.stopped = "plateau"
        return max(last, done)

    def iterations(self, step_s: float, iterations: int, val_iterations: int) -> tuple[int, int]:
        """Steps per epoch so that a budget holds ``MIN_BUDGET_EPOCHS``, counted from the first.

        Asked again after each epoch, with the time that a step takes now: a machine that was busy
        when the first steps were timed would else leave a fold at epochs of a few steps for good.

        Args:
            step_s: Seconds of one optimiser step.
            iterations: Optimiser steps per epoch where time allows them.
            val_iterations: Validation steps likewise.

        Returns:
            Optimiser and validation steps: never more than given, each at least 1, in the same
            proportion. As given without a budget.
        """
        if (left_s := self.left_s) is None:
            return iterations, val_iterations
        span_s = max(left_s, 0.0) + self._in_epochs_s
        wanted_s = step_s * _steps(iterations, val_iterations) * MIN_BUDGET_EPOCHS
        share = min(1.0, span_s / max(wanted_s, 1e-9))
        return max(1, int(iterations * share)), max(1, int(val_iterations * share))

    @property
    def left_s(self) -> float | None:
        """Seconds left to train in under the budget, may be negative; None without one."""
        if self._budget_s is None:
            return None
        return self._budget_s - self.prediction_s - self._here_s

    @property
    def epoch_s(self) -> float:
        """Seconds of an epoch as long as the next one, by the latest, or the guess before them."""
        if not self._recent:
            return self._guess_s
        per_step = sum(s for s, _ in self._recent) / sum(steps for _, steps in self._recent)
        return per_step * self._steps

    @property
    def _in_epochs_s(self) -> float:
        """Seconds that the epochs of this process have taken."""
        return 0.0 if self._began is None else self._clock() - self._began

    def may_measure(self, cost_s: float, epoch_s: float) -> bool:
        """Whether measuring for ``cost_s`` keeps to ``MEASURING_SHARE``, this epoch included."""
        return self.measured_s + cost_s <= MEASURING_SHARE * (self.trained_s + epoch_s)

    def eta_s(self, done: int, total: int) -> float:
        """Seconds until the fold has its result."""
        return (total - done) * self.epoch_s + self.prediction_s

    def to_json(self) -> dict[str, Any]:
        """A JSON value for ``restore``."""
        return {
            "stopped": self.stopped,
            "spent_s": self.spent_s,
            "trained_s": self.trained_s,
            "measured_s": self.measured_s,
            "plateau": self._plateau.to_json(),
        }

    def restore(self, value: dict[str, Any]) -> None:
        """Goes on from what ``to_json`` returned in an earlier process."""
        self.stopped = value["stopped"]
        self._before_s = value["spent_s"]
        self.trained_s, self.measured_s = value["trained_s"], value["measured_s"]
        self._plateau.restore(value["plateau"])


def _steps(iterations: int, val_iterations: int) -> float:
    """How long an epoch is, in optimiser steps; one of validation counts half."""
    return iterations + 0.5 * val_iterations
