"""FilesReport: how an export or import ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from converters.bookkeeping.work_index import WorkIndex, write_report
from domain.annotation import REMARKS, LeftOut

MAX_EXAMPLES = 20


_MAX_REASONS = 3
_MAX_WORDS = 300


class Reasons:
    """Counts why things were left out, and keeps an example of each.

    >>> reasons = Reasons()
    >>> reasons.add(LeftOut(7, "skipped", "Task 7 was skipped by its annotator."))
    >>> str(reasons)
    '1 skipped (Task 7 was skipped by its annotator.)'
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, note: LeftOut) -> None:
        """Counts one."""
        self._counts[note.reason] += 1
        self._examples.setdefault(note.reason, note.message[:_MAX_WORDS])

    def __str__(self) -> str:
        """The most frequent ones; "" when there was none."""
        most = self._counts.most_common(_MAX_REASONS)
        words = [f"{n} {reason} ({self._examples[reason]})" for reason, n in most]
        rest = self._counts.total() - sum(n for _, n in most)
        return ", ".join([*words, f"{rest} more"] if rest else words)


@dataclass(frozen=True, slots=True)
class FilesReport:
    """How many tasks there are now, and what was left out and why.

    ``done`` counts tasks that are there; ``unchanged`` those among them that were there already,
    ``removed`` those that have left the source. ``left_out`` counts what was left out by reason,
    ``n_tasks_left_out`` the whole tasks among it; ``examples`` are the first few. ``noted`` counts
    what was used with a remark, of which nothing is lost, ``noted_examples`` are the first few.
    ``path`` is the file with all of it. ``remarks`` are sentences about the whole. ``deeds`` counts
    what an import into a project did with its images, by kind; empty for files.
    """

    done: int
    unchanged: int
    removed: int
    left_out: dict[str, int]
    n_tasks_left_out: int
    examples: tuple[LeftOut, ...]
    path: Path
    remarks: tuple[str, ...] = field(default=())
    noted: dict[str, int] = field(default_factory=dict)
    noted_examples: tuple[LeftOut, ...] = field(default=())
    deeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did, which its index does not tell.

    Attributes:
        unchanged: How many items were there already.
        removed: How many have left the source.
        remarks: Sentences about the whole.
        deeds: What the run did, by kind; they count as done instead of all that the index holds.
        n_kept: Items of the index that the run left alone against the person's wish.
    """

    unchanged: int
    removed: int = 0
    remarks: tuple[str, ...] = field(default=())
    deeds: Mapping[str, int] | None = None
    n_kept: int = 0


def make_report(path: Path, format_name: str, index: WorkIndex, outcome: Outcome) -> FilesReport:
    """Counts what the index holds and writes it to ``path`` as JSON.

    Args:
        path: The report's file.
        format_name: What was exported or imported.
        index: What was done and left out.
        outcome: What the run did besides.
    """
    unchanged, removed, remarks = outcome.unchanged, outcome.removed, outcome.remarks
    deeds = outcome.deeds
    done, n_tasks_left_out, reasons = index.counts()
    noted = {reason: n for reason, n in reasons.items() if reason in REMARKS}
    left_out = {reason: n for reason, n in reasons.items() if reason not in REMARKS}
    n_tasks_left_out += outcome.n_kept
    if deeds is not None:
        done = sum(deeds.values())
    head = {
        "format": format_name,
        "done": done,
        "unchanged": unchanged,
        "removed": removed,
        **({"deeds": dict(deeds)} if deeds is not None else {}),
        "remarks": list(remarks),
        "tasks_left_out": n_tasks_left_out,
        "left_out_by_reason": left_out,
        "noted_by_reason": noted,
    }
    write_report(path, head, index)
    return FilesReport(
        done,
        unchanged,
        removed,
        left_out,
        n_tasks_left_out,
        _examples(index, are_remarks=False),
        path,
        remarks,
        noted,
        _examples(index, are_remarks=True),
        deeds or {},
    )


def _examples(index: WorkIndex, *, are_remarks: bool) -> tuple[LeftOut, ...]:
    notes = (note for _, note in index.notes() if note.is_remark == are_remarks)
    return tuple(islice(notes, MAX_EXAMPLES))
