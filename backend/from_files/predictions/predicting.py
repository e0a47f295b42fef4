"""Starts predicting files in a process of its own, for those that load no networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.from_files.predictions.results import ResultOptions
from converters.bookkeeping.documents import to_json
from training.processes.networks import run_child

CHILD_MODULE = "backend.from_files.networks.predict_process"

INDEX = ".nnloop-index.sqlite"

REPORT = "report.json"
"""What was left out, and why."""


@dataclass(frozen=True, slots=True)
class PredictionSpec:
    """What to predict: a document.

    Attributes:
        sources: Files and folders.
        model: As a person named it.
        out: Folder of results.
        results: What to write.
        watches: Whether to go on with what comes into the folders, until it is stopped.
    """

    sources: tuple[str, ...]
    model: str
    out: str
    results: ResultOptions
    watches: bool = False


def start_predicting(
    sources: Sequence[Path],
    model: Path,
    out: Path,
    results: ResultOptions,
    *,
    watches: bool = False,
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Predicts what is not there yet; called again after any end, it goes on.

    Args:
        sources: Files and folders.
        model: As of ``models.find_model``.
        out: Folder of results.
        results: What to write.
        watches: See ``PredictionSpec``.
        on_line: Called with a line for each image.

    Raises:
        PredictionError: It could not go on; or it ended before its time.
    """
    spec = PredictionSpec(
        tuple(str(source.absolute()) for source in sources),
        str(model.absolute()),
        str(out.absolute()),
        results,
        watches,
    )
    run_child(CHILD_MODULE, to_json(PredictionSpec, spec), on_line, work="predicted")
