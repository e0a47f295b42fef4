"""A job queue that runs nothing: it remembers what was asked for."""

from __future__ import annotations

from collections.abc import Callable

from backend.queue import JobInfo, JobName, JobQueue, JobState, QueueName, RedisFacts
from backend.queue.worker_info import WorkerInfo


class FakeQueue(JobQueue):
    """Takes the place of Redis and RQ.

    ``asked`` lists every call of ``ensure`` as (name, ids), in order. ``on_ensure`` is called with
    the same and may do what a worker would. ``at_work`` are the workers, ``facts`` what Redis says.
    """

    def __init__(self, on_ensure: Callable[[JobName, tuple[int, ...]], None] | None = None) -> None:
        self.asked: list[tuple[JobName, tuple[int, ...]]] = []
        self.on_ensure = on_ensure
        self.listed: list[JobInfo] = []
        self.at_work: list[WorkerInfo] = []
        self.facts = RedisFacts("7.2.4", True, True, "noeviction", 1_000_000, 0, 0.0)

    def claim(self) -> None:
        pass

    def is_of_others(self) -> bool:
        return False

    def ping(self) -> bool:
        return True

    def ensure(self, name: JobName, *ids: int) -> bool:
        is_new = (name, ids) not in self.asked
        self.asked.append((name, ids))
        if self.on_ensure is not None:
            self.on_ensure(name, ids)
        return is_new

    def jobs(self) -> list[JobInfo]:
        return self.listed

    def retry(self, job_id: str) -> bool:
        return any(job.id == job_id and job.state == JobState.FAILED for job in self.listed)

    def counts(self) -> dict[str, int]:
        counts = {str(name): 0 for name in QueueName}
        for name, _ in set(self.asked):
            counts[name.queue] += 1
        return counts

    def has_waiting(self, name: QueueName) -> bool:
        return bool(self.counts()[name])

    def workers(self) -> list[WorkerInfo]:
        return self.at_work

    def server(self) -> RedisFacts:
        return self.facts
