"""running.json: where the processes of a running `nnloop up` are, for the other commands."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from converters.bookkeeping.files import read_json, write_json
from domain.errors import StackError
from training.processes.birth import birth_mark

_FILE = "running.json"


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The addresses of a running stack, its key, and the process that supervises it.

    The file is readable by its owner only: it holds the key of Label Studio, so that the other
    commands work in another terminal as they are, and ``redis_url`` may hold a password.
    """

    service_url: str
    label_studio_url: str
    redis_url: str = field(repr=False)
    label_studio_api_key: str = field(default="", repr=False)
    pid: int = field(default_factory=os.getpid)
    started_at: float | str = field(default_factory=lambda: birth_mark(os.getpid()))

    def write(self, data_dir: Path) -> None:
        """Announces the stack; StackError while another one runs on the same data folder."""
        require_alone(data_dir)
        write_json(data_dir / _FILE, asdict(self), mode=0o600)

    @staticmethod
    def remove(data_dir: Path) -> None:
        """Takes the announcement back."""
        (data_dir / _FILE).unlink(missing_ok=True)


def require_alone(data_dir: Path) -> None:
    """Raises StackError while another process runs a stack on the data folder."""
    other = find_running(data_dir)
    if other is not None and other.pid != os.getpid():
        raise StackError(
            f"nnloop runs already on {data_dir} (process {other.pid}).",
            remedy="Stop it, or give this one another data folder (--data-dir).",
        )


def find_running(data_dir: Path) -> RunningStack | None:
    """The stack that runs on a data folder; None without one, or when it has died."""
    path = data_dir / _FILE
    try:
        stack = RunningStack(**read_json(path))
        # Process ids are reused; an id with its start is unique.
        is_alive = _is_same(stack.pid, stack.started_at)
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return stack if is_alive else None


def _is_same(pid: int, started_at: float | str) -> bool:
    if isinstance(started_at, str):
        return birth_mark(pid) == started_at
    # One of an earlier release, which runs on while a new one is installed.
    return abs(psutil.Process(pid).create_time() - started_at) < 1.0
