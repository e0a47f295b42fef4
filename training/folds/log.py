"""What a fold writes while it trains, and how it is read back: its log's end, its progress."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from training.folds.spec import LOG, PROGRESS, EpochProgress

_BLOCK = 8192


def tail(fold_dir: Path, n: int) -> tuple[str, ...]:
    """The last ``n`` lines of the fold's log, oldest first; empty when there is none.

    Reads from the end, so it costs the same however long the log is.
    """
    path = fold_dir / LOG
    if n < 1 or not path.exists():
        return ()
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        data = b""
        # One line end more than lines: the first line found may be cut off at its start.
        while start > 0 and data.count(b"\n") <= n:
            size = min(_BLOCK, start)
            start = file.seek(start - size)
            data = file.read(size) + data
    return tuple(data.decode(errors="replace").splitlines()[-n:])


def write_progress(fold_dir: Path, progress: EpochProgress) -> None:
    """Adds an epoch to the fold's progress.jsonl."""
    with (fold_dir / PROGRESS).open("a") as file:
        file.write(json.dumps(asdict(progress)) + "\n")


def progress_in_words(progress: EpochProgress) -> str:
    """An epoch as one line of the log."""
    dice = {name: value and round(value, 4) for name, value in (progress.case_dice or {}).items()}
    return (
        f"{progress.epoch} of {progress.epochs} epochs: train_loss {progress.train_loss:.4f}, "
        f"val_loss {progress.val_loss:.4f}, full-image Dice {dice or 'not measured'}, "
        f"{progress.seconds:.1f} s, {progress.eta_s or 0:.0f} s to go"
    )


def read_progress(fold_dir: Path) -> tuple[EpochProgress, ...]:
    """The epochs of a fold in order; of one reported twice, the later report."""
    path = fold_dir / PROGRESS
    lines = path.read_bytes().splitlines() if path.exists() else []
    epochs = (parse_progress(line) for line in lines)
    by_number = {epoch.epoch: epoch for epoch in epochs if epoch is not None}
    return tuple(by_number[number] for number in sorted(by_number))


def parse_progress(line: bytes) -> EpochProgress | None:
    """One line of progress.jsonl; None for half a line, as a killed child leaves it."""
    try:
        return EpochProgress(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
