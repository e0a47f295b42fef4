"""Images that are converted and wait to be stored, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.imports.scores import NOT_KNOWN, Score
from converters.imports.source import ImportedImage
from domain.annotation import LeftOut

BATCH_IMAGES = 20
BATCH_BYTES = 32 * 1024 * 1024
"""Images read and uploaded together; what a kill makes the next run look for."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that is converted and waits to be stored; ``task_id`` where a task has it."""

    image: ImportedImage
    path: Path | None
    task_id: int | None
    stamp: str
    result: list[dict[str, Any]]
    notes: list[LeftOut]
    score: Score = NOT_KNOWN

    @property
    def key(self) -> str:
        """Names the image in later runs."""
        return self.image.key


def batches(items: Iterator[Ready]) -> Iterator[list[Ready]]:
    """At most ``BATCH_IMAGES`` of them, or ``BATCH_BYTES`` to upload, at once."""
    batch: list[Ready] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.path.stat().st_size if item.path is not None and item.task_id is None else 0
        if len(batch) == BATCH_IMAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
