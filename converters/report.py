"""FilesReport: how an export or import ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from converters.work_index import WorkIndex, write_report
from domain.annotation import LeftOut

MAX_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class FilesReport:
    """How many tasks there are now, and what was left out and why.

    ``done`` counts tasks that are there; ``unchanged`` those among them that were there already,
    ``removed`` those that have left the source. ``left_out`` counts what was left out by reason,
    ``n_tasks_left_out`` the whole tasks among it; ``examples`` are the first few, ``path`` is the
    file with all of it. ``remarks`` are sentences about the whole.
    """

    done: int
    unchanged: int
    removed: int
    left_out: dict[str, int]
    n_tasks_left_out: int
    examples: tuple[LeftOut, ...]
    path: Path
    remarks: tuple[str, ...] = field(default=())


def make_report(
    path: Path,
    format_name: str,
    index: WorkIndex,
    unchanged: int,
    removed: int,
    remarks: tuple[str, ...] = (),
) -> FilesReport:
    """Counts what the index holds and writes it to ``path`` as JSON."""
    done, n_tasks_left_out, reasons = index.counts()
    head = {
        "format": format_name,
        "done": done,
        "unchanged": unchanged,
        "removed": removed,
        "remarks": list(remarks),
        "tasks_left_out": n_tasks_left_out,
        "left_out_by_reason": reasons,
    }
    write_report(path, head, index)
    examples = tuple(note for _, note in islice(index.notes(), MAX_EXAMPLES))
    return FilesReport(done, unchanged, removed, reasons, n_tasks_left_out, examples, path, remarks)
