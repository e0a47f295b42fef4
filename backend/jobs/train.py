"""The job that trains one fold."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from functools import cache

from backend.jobs.process import context, device
from backend.pipeline.folds import train
from training.folds.runner import fold_server
from training.processes.forked import ForkServer

# Elsewhere libraries of the system do not survive a fork.
CAN_FORK = sys.platform == "linux"
# Nor does CUDA, which a library may touch as it is loaded: folds on a GPU load nnU-Net themselves.
FORKED_ON = "cpu"
STDERR = 2


def prepare() -> None:
    """Called when the worker starts: nnU-Net is loaded before the first fold waits for it."""
    if (forks := _forks()) is not None:
        forks.warm()


def train_fold(run_id: int, fold: int) -> None:
    """Trains one fold of a run on this worker's device."""
    train.train_fold(context(), run_id, fold, device(), _worker(), forks=_forks())


@cache
def _worker() -> str:
    # Two containers may have one name and the same process ids.
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


@cache
def _forks() -> ForkServer | None:
    found = device()
    if not CAN_FORK or found.name != FORKED_ON:
        return None
    return fold_server(found.name, found.threads, STDERR)
