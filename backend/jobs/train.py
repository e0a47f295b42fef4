"""The job that trains one fold."""

from __future__ import annotations

import logging
import os
import socket

from backend.jobs.process import context, device
from backend.pipeline.folds import train
from training.processes.orphans import sweep_orphans

logger = logging.getLogger(__name__)


def on_worker_start() -> None:
    """Ends trainings that a killed worker of this machine left behind: they hold the device."""
    pids = sweep_orphans(context().settings.data_dir)
    if pids:
        logger.warning("Ended %d trainings without a worker: %s.", len(pids), pids)


def train_fold(run_id: int, fold: int) -> None:
    """Trains one fold of a run on this worker's device."""
    worker = f"{socket.gethostname()}-{os.getpid()}"
    train.train_fold(context(), run_id, fold, device(), worker)
