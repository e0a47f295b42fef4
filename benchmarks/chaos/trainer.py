"""A trainer of many short epochs: what happens between two of them is what is looked at."""

from __future__ import annotations

from tests.integration.loop.short_epochs import ShortEpochsTrainer


class QuickTrainer(ShortEpochsTrainer):
    """6 steps an epoch where the preset has 50."""

    steps = 6
