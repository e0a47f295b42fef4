"""Starts a training from files in a process of its own, for those that load no networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converters.bookkeeping.documents import to_json
from training.processes.networks import run_child

NOTE = "Note: "
"""Begins a line that a person is told for good; others say how far it is."""

CHILD_MODULE = "backend.from_files.networks.process"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Which run of which folder is taken to its end."""

    folder: str
    run_id: int


def start_run(folder: Path, run_id: int, on_line: Callable[[str], None] = lambda _: None) -> None:
    """Takes a run to its end; called again after any end, it goes on.

    Args:
        folder: As a person named it.
        run_id: Which run.
        on_line: Called with a line for each step and epoch.

    Raises:
        PredictionError: It could not go on; or it ended before its time.
    """
    spec = RunSpec(str(folder.resolve()), run_id)
    run_child(CHILD_MODULE, to_json(RunSpec, spec), on_line, work="trained")
