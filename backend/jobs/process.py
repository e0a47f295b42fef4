"""What a worker process keeps between its jobs."""

from __future__ import annotations

from functools import cache

from backend.pipeline.basis.context import AppContext
from backend.pipeline.folds.train import WorkerDevice


@cache
def context() -> AppContext:
    """The process's context, opened at its first job."""
    return AppContext.open()


def device() -> WorkerDevice:
    """Where this worker trains."""
    settings = context().settings
    return WorkerDevice(settings.worker_device, settings.worker_threads)
