"""The states of the ledger's rows: stored as their string values."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a TrainingRun stands. The last three are final."""

    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SCORING = "scoring"
    PUBLISHING = "publishing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the run."""
        return self in (RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED)


class RunControl(StrEnum):
    """What a person wants of a run: that it goes on, waits, or ends."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class FoldStatus(StrEnum):
    """Where one fold of a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class VersionStatus(StrEnum):
    """What became of a ModelVersion."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    RETIRED = "retired"
    REJECTED = "rejected"


class VersionOrigin(StrEnum):
    """Where a ModelVersion's weights come from; those of an ensemble from other versions."""

    TRAINED = "trained"
    IMPORTED = "imported"
    ENSEMBLE = "ensemble"


class TaskState(StrEnum):
    """What people have said about a task."""

    UNLABELLED = "unlabelled"
    LABELLED = "labelled"
    SKIPPED = "skipped"
