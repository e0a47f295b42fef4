"""A replay on disk: its images, its rules, and what was played so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.replay.images.embeddings import read_embeddings
from backend.replay.images.library import Library
from backend.replay.options import ReplayOptions
from backend.replay.results import Full, Results
from backend.replay.rounds import Course, Table
from converters.bookkeeping.documents import read_document
from domain.errors import NotEnoughCasesError
from domain.text import counted


@dataclass(frozen=True, slots=True)
class Replay:
    """Where a replay is, and what is played.

    Attributes:
        root: Of library, committees and courses; several replays of the same images may share it,
            one at a time.
        library: Of images.
        options: The rules.
    """

    root: Path
    library: Library
    options: ReplayOptions

    @property
    def table(self) -> Table:
        """What is played on, with the embeddings there are now.

        Raises:
            NotEnoughCasesError: There are too few images.
        """
        pool, test = self.library.divided(self.options.test_share)
        return Table(pool, test, self.options, read_embeddings(self.root, self.library))

    def require_classes(self) -> None:
        """Looks whether there is anything to learn, and to measure, before hours are spent on it.

        Raises:
            NotEnoughCasesError: There are too few images, or none of those to learn from or to
                measure on shows any class.
        """
        pool, test = self.library.divided(self.options.test_share)
        for cases, purpose in ((pool, "learn from"), (test, "measure on")):
            if not any(any(case.shares) for case in cases):
                raise NotEnoughCasesError(
                    f"No class is in any of {counted(len(cases), 'image')} to {purpose}: nothing "
                    "could be told.",
                    remedy="Give more labelled images, another --test-share, or look whether masks "
                    "and --classes are right.",
                )

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to play."""
        results, options = self.results(), self.options
        n_whole = sum(len(by_seed) for by_seed in results.rounds.values())
        is_full = len(results.full) == options.seeds
        return is_full and n_whole == options.seeds * len(options.strategies)

    def results(self) -> Results:
        """What is on disk so far."""
        table, options = self.table, self.options
        courses = []
        for seed in range(options.seeds):
            for strategy in options.strategies:
                file = table.course_file(self.root, strategy, seed)
                if file.exists():
                    courses.append(read_document(file, Course))
        full = {
            seed: read_document(file, Full)
            for seed in range(options.seeds)
            if (file := table.full_file(self.root, seed)).exists()
        }
        return Results(table, tuple(courses), full)
