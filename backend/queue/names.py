"""What jobs and queues are called."""

from __future__ import annotations

from enum import StrEnum


class QueueName(StrEnum):
    """Queues, most urgent first."""

    INTERACTIVE = "nnloop-interactive"
    LOOP = "nnloop-loop"
    STEP = "nnloop-step"
    SCORE = "nnloop-score"
    TRAIN = "nnloop-train"


ROLES = {
    "train": (QueueName.TRAIN,),
    "predict": (QueueName.INTERACTIVE, QueueName.STEP, QueueName.SCORE),
    "loop": (QueueName.LOOP,),
}
"""What a worker does, by the word an admin uses: its queues, most urgent first.

Reading Label Studio and pushing to it has a worker of its own, so that it waits for no image and no
network, and no annotator waits for it.
"""


class JobName(StrEnum):
    """Dotted names of the jobs; arguments are ids. A test resolves every one."""

    SYNC = "backend.jobs.loop.sync"
    ADVANCE = "backend.jobs.step.advance"
    PUBLISH = "backend.jobs.loop.publish"
    FILL = "backend.jobs.loop.fill"
    CHECK = "backend.jobs.loop.check"
    PUSH = "backend.jobs.loop.push"
    NOTIFY = "backend.jobs.loop.notify"
    SCORE = "backend.jobs.score.score"
    PREDICT = "backend.jobs.score.predict"
    EMBED = "backend.jobs.embed.embed"
    TRAIN_FOLD = "backend.jobs.train.train_fold"

    @property
    def queue(self) -> QueueName:
        """The queue its jobs go to."""
        return _QUEUE_OF[self]

    @property
    def is_of_run(self) -> bool:
        """Whether its first argument is the id of a run; otherwise it is that of a project."""
        return self in (JobName.ADVANCE, JobName.TRAIN_FOLD)


class JobState(StrEnum):
    """Where a job stands. A lost one is given again by itself: its worker has died."""

    WAITING = "waiting"
    RUNNING = "running"
    LOST = "lost"
    FAILED = "failed"


_QUEUE_OF = {
    JobName.SYNC: QueueName.LOOP,
    JobName.ADVANCE: QueueName.STEP,
    JobName.PUBLISH: QueueName.LOOP,
    JobName.FILL: QueueName.LOOP,
    JobName.CHECK: QueueName.LOOP,
    JobName.PUSH: QueueName.LOOP,
    JobName.NOTIFY: QueueName.LOOP,
    JobName.SCORE: QueueName.SCORE,
    JobName.PREDICT: QueueName.INTERACTIVE,
    JobName.EMBED: QueueName.SCORE,
    JobName.TRAIN_FOLD: QueueName.TRAIN,
}
