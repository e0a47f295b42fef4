"""What a worker process keeps between its jobs."""

from __future__ import annotations

from functools import cache

from backend.pipeline.basis.context import AppContext
from backend.pipeline.folds.train import WorkerDevice
from training.devices import threads_of


@cache
def context() -> AppContext:
    """The process's context, opened at its first job."""
    return AppContext.open()


def device() -> WorkerDevice:
    """Where this worker trains."""
    settings = context().settings
    threads = settings.worker_threads
    if threads is None:
        threads = threads_of(settings.worker_device)
    return WorkerDevice(settings.worker_device, threads)
