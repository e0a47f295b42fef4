"""What a person chooses about an evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.case_measures import Spacing

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Given what is done and for how many cases; yields what to call after each."""

N_WORST = 10


def default_workers() -> int:
    """The CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[], None]]:
    """No progress."""
    yield lambda: None


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """Where to and how.

    Attributes:
        out: Folder for metrics.csv, summary.json and overlays/.
        spacing_mm: (vertical, horizontal) size of a pixel; None takes what is known.
        n_worst: Pictures drawn and cases named, the worst first; 0 or more.
        workers: Processes that measure, at least 1.
        progress: Follows it.
    """

    out: Path
    spacing_mm: Spacing | None = None
    n_worst: int = N_WORST
    workers: int = field(default_factory=default_workers)
    progress: Progress = silent
