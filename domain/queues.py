"""Words about queues: which arm drew a task, and how it left."""

from __future__ import annotations

from enum import StrEnum


class QueueArm(StrEnum):
    """Who chose a task of a batch: the strategy, or chance alone (the control arm)."""

    STRATEGY = "strategy"
    CONTROL = "control"


class QueueExit(StrEnum):
    """How a task left its queue; NONE while it is in there."""

    NONE = ""
    LABELLED = "labelled"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"
    GONE = "gone"
