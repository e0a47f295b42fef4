"""JobInfo: one job as a person sees it."""

from __future__ import annotations

from dataclasses import dataclass

from backend.queue.names import JobName, JobState


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job in the queue.

    Attributes:
        id: What it is named by, such as ``train_fold-12-0``.
        name: Of its function; None for one of another release.
        ids: Its arguments.
        state: Where it stands.
        since: When it came to stand there, in seconds since the epoch; None where not known.
        worker: Who runs it, or ran it last; "" for nobody.
        cause: The last line of its traceback when it failed.
    """

    id: str
    name: JobName | None
    ids: tuple[int, ...]
    state: JobState
    since: float | None
    worker: str
    cause: str = ""
