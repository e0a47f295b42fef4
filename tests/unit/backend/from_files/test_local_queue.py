from __future__ import annotations

from backend.from_files.local_queue import LocalQueue
from backend.pipeline.folds.queue import training_workers
from backend.queue import JobName, QueueName
from training.devices import Device


def test_folds_wait_once_each_in_order_and_nothing_else_does() -> None:
    queue = LocalQueue([Device("cuda:0", 2, 4, 24_000), Device("cpu", 1, 1)])
    assert training_workers(queue) == 3
    assert [worker.device for worker in queue.workers()] == ["cuda:0", "cuda:0", "cpu"]
    assert queue.ensure(JobName.TRAIN_FOLD, 1, 0) and queue.ensure(JobName.TRAIN_FOLD, 1, 1)
    assert not queue.ensure(JobName.TRAIN_FOLD, 1, 0)
    # Nobody is there to read or push.
    assert not queue.ensure(JobName.SYNC, 1) and not queue.ensure(JobName.PUBLISH, 1)
    assert queue.has_waiting(QueueName.TRAIN) and not queue.has_waiting(QueueName.INTERACTIVE)
    assert (queue.take(), queue.take(), queue.take()) == ((1, 0), (1, 1), None)
    assert queue.ping()
