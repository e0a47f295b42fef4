"""Plateau: when a fold has stopped getting better, and how its training then ends."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

MIN_DICE_GAIN = 0.002
"""A smoothed Dice that rose by less is no better: below what few held-out cases can show."""

MIN_LOSS_GAIN = 0.002
"""Likewise of the validation loss (Dice plus cross-entropy, from -1 upwards)."""

_DICE_WEIGHT = 0.3
_LOSS_WEIGHT = 0.1
"""Weight of the newest value in the running mean. The loss comes from few patches: smoothed more;
0.1 is also nnU-Net's, for its pseudo Dice."""

_MIN_VALUES = 3
"""Values since the best one that must be there: Dice is not measured every epoch."""

_MIN_ENDING = 3
_ENDING_SHARE = 0.1


@dataclass(slots=True)
class _Smoothed:
    """A running mean (higher is better), its best value, and how long ago that was."""

    weight: float
    min_gain: float
    mean: float | None = None
    best: float | None = None
    best_epoch: int = 0
    values: int = 0
    since_best: int = 0

    def add(self, epoch: int, value: float) -> None:
        self.mean = (
            value if self.mean is None else self.mean * (1 - self.weight) + value * self.weight
        )
        self.values += 1
        self.since_best += 1
        if self.best is None or self.mean > self.best + self.min_gain:
            self.best, self.best_epoch, self.since_best = self.mean, epoch, 0


@dataclass(slots=True)
class Plateau:
    """Watches one fold, epoch by epoch.

    It looks at the running mean of the full-image Dice of held-out cases (mean over images) and,
    until that was measured three times, at the running mean of the validation loss. No better for
    ``patience`` epochs is a plateau. It is final.

    A schedule stopped in its middle leaves a network trained at a high learning rate, worse than
    one whose schedule ended. So a plateau does not cut training: the rest of the schedule is
    shortened to a tenth of the epochs done (at least 3), over which the learning rate falls to 0.

    Attributes:
        patience: Epochs; None: a plateau is never seen.
        reached: Epochs done when it was seen; None: not seen.
    """

    patience: int | None
    reached: int | None = None
    _dice: _Smoothed = field(default_factory=lambda: _Smoothed(_DICE_WEIGHT, MIN_DICE_GAIN))
    _loss: _Smoothed = field(default_factory=lambda: _Smoothed(_LOSS_WEIGHT, MIN_LOSS_GAIN))

    def add(self, epoch: int, *, val_loss: float, dice: float | None) -> None:
        """Takes an epoch's figures.

        Args:
            epoch: Epochs done, 1 after the first.
            val_loss: Lower is better; ignored when it is not finite.
            dice: Full-image Dice in [0, 1], or None when it was not measured.
        """
        if math.isfinite(val_loss):
            self._loss.add(epoch, -val_loss)
        if dice is not None:
            self._dice.add(epoch, dice)
        if self.patience is None or self.reached is not None:
            return
        watched = self._dice if self._dice.values >= _MIN_VALUES else self._loss
        is_old = epoch - watched.best_epoch >= self.patience
        if is_old and watched.since_best >= _MIN_VALUES:
            self.reached = epoch

    def last_epoch(self, planned: int) -> int:
        """Epochs to train in all when ``planned`` were planned; fewer after a plateau."""
        if self.reached is None:
            return planned
        ending = max(_MIN_ENDING, math.ceil(self.reached * _ENDING_SHARE))
        return min(planned, self.reached + ending)

    def to_json(self) -> dict[str, Any]:
        """A JSON value for ``restore``; ``patience`` is not in it."""
        return {"reached": self.reached, "dice": asdict(self._dice), "loss": asdict(self._loss)}

    def restore(self, value: dict[str, Any]) -> None:
        """Goes on from what ``to_json`` returned."""
        self.reached = value["reached"]
        self._dice, self._loss = _Smoothed(**value["dice"]), _Smoothed(**value["loss"])
