"""The job that trains one fold."""

from __future__ import annotations

import os
import socket

from backend.jobs.process import context, device
from backend.pipeline.folds import train


def train_fold(run_id: int, fold: int) -> None:
    """Trains one fold of a run on this worker's device."""
    worker = f"{socket.gethostname()}-{os.getpid()}"
    train.train_fold(context(), run_id, fold, device(), worker)
