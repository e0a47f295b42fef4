"""The states of the ledger's rows, stored as their string values; how runs and folds move on.

``backend.store.training.runs`` is the one place that writes the state of a run or a fold, and it
checks ``RUN``, ``CONTROL`` and ``FOLD`` first. docs/runs.md draws them.
"""

from __future__ import annotations

from enum import StrEnum

from domain.state_machine import State, StateMachine, Transition


class RunStatus(StrEnum):
    """Where a TrainingRun stands; see ``RUN``."""

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
        return self in RUN.final

    @property
    def is_before_training(self) -> bool:
        """Whether the run's cases are still to be prepared."""
        return self in (RunStatus.QUEUED, RunStatus.PREPARING)


class RunControl(StrEnum):
    """What a person wants of a run, that it goes on, waits, or ends; see ``CONTROL``."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class FoldStatus(StrEnum):
    """Where one fold of a run stands; see ``FOLD``."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the fold."""
        return self in FOLD.final


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


_PREDICTION, _TRAINING, _LOOP = "prediction worker", "training worker", "loop worker"
_ACTIVE = (
    RunStatus.QUEUED,
    RunStatus.PREPARING,
    RunStatus.TRAINING,
    RunStatus.EVALUATING,
    RunStatus.SCORING,
    RunStatus.PUBLISHING,
)

RUN = StateMachine(
    "run",
    (
        State(RunStatus.QUEUED, "waits for a worker"),
        State(RunStatus.PREPARING, "annotations become cases", _PREDICTION, holds_lease=True),
        State(
            RunStatus.TRAINING,
            "its folds are trained",
            f"{_TRAINING}s, under its folds' leases",
        ),
        State(RunStatus.EVALUATING, "the gate judges its version", _PREDICTION, holds_lease=True),
        State(RunStatus.SCORING, "its version serves, and scores the pool", _PREDICTION),
        State(RunStatus.PUBLISHING, "predictions go to Label Studio", _LOOP),
        State(RunStatus.DONE, "over"),
        State(RunStatus.FAILED, "over, with a sentence that says why"),
        State(RunStatus.CANCELLED, "over, as a person wanted"),
    ),
    (
        Transition((RunStatus.QUEUED,), RunStatus.PREPARING, "a worker takes it", _PREDICTION),
        Transition(
            (RunStatus.PREPARING,), RunStatus.TRAINING, "the cases are prepared", _PREDICTION
        ),
        Transition((RunStatus.TRAINING,), RunStatus.EVALUATING, "all folds are done", _PREDICTION),
        Transition((RunStatus.EVALUATING,), RunStatus.SCORING, "promoted", _PREDICTION),
        Transition((RunStatus.EVALUATING,), RunStatus.DONE, "not promoted", _PREDICTION),
        Transition((RunStatus.SCORING,), RunStatus.PUBLISHING, "the pool is scored", _PREDICTION),
        Transition((RunStatus.PUBLISHING,), RunStatus.DONE, "Label Studio shows it", _LOOP),
        Transition(
            _ACTIVE,
            RunStatus.FAILED,
            "a step failed, for good or too often",
            "whoever took the step",
        ),
        Transition(
            _ACTIVE,
            RunStatus.CANCELLED,
            "a person wants it and nobody is at work",
            "whoever sees it first",
        ),
    ),
)
"""A step that fails and may be tried again moves nothing: the run waits where it stands."""

CONTROL = StateMachine(
    "run's control",
    (
        State(RunControl.RUN, "the run goes on"),
        State(RunControl.PAUSE, "it stands still where it is"),
        State(RunControl.CANCEL, "it ends once nobody works on it"),
    ),
    (
        Transition(
            (RunControl.RUN,),
            RunControl.PAUSE,
            "`nnloop pause`, or its project is gone",
            "a person, a reading",
        ),
        Transition(
            (RunControl.PAUSE,),
            RunControl.RUN,
            "`nnloop resume`, or its project is back",
            "a person, a reading",
        ),
        Transition(
            (RunControl.RUN, RunControl.PAUSE), RunControl.CANCEL, "`nnloop cancel`", "a person"
        ),
    ),
)
"""In every active state of a run; nothing is wanted any more of one that is over."""

FOLD = StateMachine(
    "fold",
    (
        State(FoldStatus.QUEUED, "waits for a worker"),
        State(FoldStatus.RUNNING, "is trained", _TRAINING, holds_lease=True),
        State(FoldStatus.DONE, "has its result"),
        State(FoldStatus.FAILED, "over, with a sentence that says why; fails its run"),
    ),
    (
        Transition((FoldStatus.QUEUED,), FoldStatus.RUNNING, "a worker takes it", _TRAINING),
        Transition(
            (FoldStatus.RUNNING,),
            FoldStatus.RUNNING,
            "its lease ran out, another takes it",
            _TRAINING,
        ),
        Transition(
            (FoldStatus.RUNNING,),
            FoldStatus.QUEUED,
            "interrupted, or failed for the first time",
            _TRAINING,
        ),
        Transition((FoldStatus.RUNNING,), FoldStatus.DONE, "trained to its end", _TRAINING),
        Transition(
            (FoldStatus.QUEUED,),
            FoldStatus.DONE,
            "trained to its end by a worker that had lost it",
            _TRAINING,
        ),
        Transition(
            (FoldStatus.RUNNING,),
            FoldStatus.FAILED,
            "failed twice at one place, or was started too often",
            _TRAINING,
        ),
    ),
)
"""The folds of a run that is over stay as they are."""
