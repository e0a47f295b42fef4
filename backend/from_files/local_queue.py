"""The job queue of one process: what the pipeline asks for, and who trains."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from backend.queue import JobName, JobQueue, QueueName
from backend.queue.worker_info import WorkerInfo
from training.devices import Device


class LocalQueue(JobQueue):
    """In the place of Redis: folds wait here for a device. Thread-safe.

    Only trainings wait. What else the pipeline asks for is done by who drives the run
    (``backend.from_files.networks.drive``), or concerns a server that there is none of.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        """Takes the devices to train on, as ``training.devices.list_devices`` found them."""
        super().__init__("")
        self.devices = tuple(devices)
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, ...]] = []

    def take(self) -> tuple[int, ...] | None:
        """(run id, fold) of the fold to train next; None where none waits."""
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def ping(self) -> bool:
        """Always there."""
        return True

    def claim(self) -> None:
        """Nobody else is here."""

    def is_of_others(self) -> bool:
        """Never."""
        return False

    def ensure(self, name: JobName, *ids: int) -> bool:
        """Lets a fold wait for a device; whether it was not waiting yet."""
        if name != JobName.TRAIN_FOLD:
            return False
        with self._lock:
            if ids in self._waiting:
                return False
            self._waiting.append(ids)
        return True

    def counts(self) -> dict[str, int]:
        """Jobs that wait, per queue."""
        with self._lock:
            return {str(QueueName.TRAIN): len(self._waiting)}

    def has_waiting(self, name: QueueName) -> bool:
        """Whether a job waits in a queue."""
        return bool(self.counts().get(str(name)))

    def workers(self) -> list[WorkerInfo]:
        """One for each fold that can train at once."""
        queues = (str(QueueName.TRAIN),)
        return [
            WorkerInfo(f"{device.name}-{i}", queues, "", device.name, device.memory_mib)
            for device in self.devices
            for i in range(device.workers)
        ]
