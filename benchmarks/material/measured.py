"""What was measured by benchmarks that take hours, kept row by row beside the code.

Such a file goes with the repository: on another machine the benchmark goes on from it, and whoever
reads a table can compute it again. A row names what it was measured under, so that one of other
options, images or code counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "measured"


@dataclass(frozen=True, slots=True)
class Measured:
    """A file of rows, one JSON object a line.

    Attributes:
        file: It need not be there.
    """

    file: Path

    def rows(self, **wanted: object) -> Iterator[dict[str, Any]]:
        """Those with these values, oldest first.

        Raises:
            ValueError: A line is no JSON object; the message names it.
        """
        text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{self.file}, line {number} is no JSON: {error}") from error
            if all(row.get(name) == value for name, value in wanted.items()):
                yield row

    def add(self, row: Mapping[str, object]) -> None:
        """Writes a row behind the others, whole before the next begins."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
